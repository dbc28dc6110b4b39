"""Says which of several evaluated configs is better: python scripts/compare.py .ragloom/runs/*"""

import sys

from ragloom.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
