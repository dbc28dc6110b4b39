"""What `scripts/release.py` promises."""

import datetime
import importlib.util
import re
import tomllib

import pytest

from places import ROOT

spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
assert spec is not None
assert spec.loader is not None
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

DAY = datetime.date(2026, 12, 1)
BEFORE = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a\n\n## [0.1.0] - 2026-11-29\n\n- first\n"


def test_unreleased_changes_move_under_the_version_and_nothing_is_lost() -> None:
    after = release.dated(BEFORE, "0.2.0", DAY)
    assert (
        after.index("## [Unreleased]")
        < after.index("## [0.2.0] - 2026-12-01")
        < after.index("- a")
        < after.index("[0.1.0]")
    )
    assert [line for line in BEFORE.splitlines() if line] == [
        line for line in after.splitlines() if line and "0.2.0" not in line
    ]


def test_release_without_changes_is_refused() -> None:
    with pytest.raises(SystemExit, match="Unreleased"):
        release.dated("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-11-29\n\n- first\n", "0.2.0", DAY)


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3rc1"])
def test_version_must_be_semantic(version: str) -> None:
    with pytest.raises(SystemExit, match="MAJOR.MINOR.PATCH"):
        release.main([version])


def test_version_is_the_same_everywhere_and_in_the_changelog() -> None:
    version = tomllib.loads(release.PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert f'__version__ = "{version}"' in release.INIT.read_text(encoding="utf-8")
    assert re.search(
        rf"^## \[{re.escape(version)}\]", release.CHANGELOG.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
