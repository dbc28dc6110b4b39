"""Where things lie, for tests in whatever folder below `tests/`."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
CONF = TESTS.parent / "conf"
CASES = TESTS / "cases"
UPGRADE = TESTS / "upgrade"
