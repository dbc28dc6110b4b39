"""Paths for tests in any folder below `tests/`."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
CONF = ROOT / "conf"
SAMPLE = ROOT / "src" / "ragloom" / "components" / "source" / "sample"
CASES = TESTS / "cases"
UPGRADE = TESTS / "upgrade"
