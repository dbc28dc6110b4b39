"""What the children of `kills` share: imported once by the process that they are forked from, which runs no thread.

LanceDB is not: importing it starts threads (0.40), and a fork of those may hang.
"""

import weaviate  # noqa: F401

import kills  # noqa: F401
