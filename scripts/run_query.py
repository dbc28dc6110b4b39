"""Asks a question: python scripts/run_query.py "How long is the warranty?" chunking=paragraph"""

import sys

from ragloom.cli.query import main

if __name__ == "__main__":
    sys.exit(main())
