"""Measures a config and its index under load: python scripts/benchmark.py dataset=sample benchmark.rates=[5,10]"""

import sys

from ragloom.cli.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
