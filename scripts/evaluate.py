"""Measures a config on a dataset, or sweeps over several: python scripts/evaluate.py -m chunking=fixed,paragraph"""

import sys

from ragloom.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
