"""Shows, verifies and prunes the embedding cache: python scripts/cache.py show"""

import sys

from ragloom.cli.cache import main

if __name__ == "__main__":
    sys.exit(main())
