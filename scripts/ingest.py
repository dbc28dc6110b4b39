"""Sync an index with its source: python scripts/ingest.py source=folder source.path=docs"""

import sys

from ragloom.cli.ingest import main

if __name__ == "__main__":
    sys.exit(main())
