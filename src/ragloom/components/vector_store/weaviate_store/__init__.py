"""Weaviate as server, cluster, cloud or embedded: two collections per index.

weaviate-client 4.23.1 switches on all warnings of the whole program on import (`simplefilter`), and prints whole
objects when some of a batch are refused. It is imported here, before any module of this package: the filters are
restored, and its logger is silent unless `WEAVIATE_LOG_LEVEL` is set.
"""

import logging
import os
import warnings

with warnings.catch_warnings():
    import weaviate  # noqa: F401

if "WEAVIATE_LOG_LEVEL" not in os.environ:
    logging.getLogger("weaviate-client").setLevel(logging.CRITICAL)
