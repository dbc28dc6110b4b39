"""What the children of `kills` share: imported once by the process that they are forked from, which runs no thread.

LanceDB is not: importing it starts threads (0.40), and a fork of those may hang.
"""

import weaviate  # noqa: F401

import kills  # noqa: F401
import ragloom.embedding.hashed
import ragloom.ingestion
import ragloom.ingestion.read_stage
import ragloom.source.files
import ragloom.vector_store.server.database  # noqa: F401
