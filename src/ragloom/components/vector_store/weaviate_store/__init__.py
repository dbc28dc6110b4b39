"""Weaviate, as a server, a cluster, a cloud or embedded: one index is two collections, chunks and documents.

weaviate-client 4.23.1 switches on all warnings of the whole program when it is imported (`simplefilter`), and prints
whole objects when some of a batch are refused. It is imported here, before any module of this package: the filters are
put back, and it is told to be silent unless somebody asks it to speak (`WEAVIATE_LOG_LEVEL`).
"""

import logging
import os
import warnings

with warnings.catch_warnings():
    import weaviate  # noqa: F401

if "WEAVIATE_LOG_LEVEL" not in os.environ:
    logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)
