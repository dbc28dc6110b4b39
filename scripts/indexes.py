"""Lists, shows, compares, deletes, rebuilds, promotes and prunes indexes: python scripts/indexes.py list"""

import sys

from ragloom.cli.indexes import main

if __name__ == "__main__":
    sys.exit(main())
