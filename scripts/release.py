"""Prepare a release: version, changelog, wheel check, commit and tag. Nothing is pushed or uploaded.

make release VERSION=0.2.0
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT, INIT, CHANGELOG = ROOT / "pyproject.toml", ROOT / "src" / "ragloom" / "__init__.py", ROOT / "CHANGELOG.md"
VERSION = re.compile(r"\d+\.\d+\.\d+")
UNRELEASED = "## [Unreleased]\n"


def main(arguments: list[str]) -> None:
    """Run the steps in order; the first that fails ends the release with its reason."""
    if len(arguments) != 1 or not VERSION.fullmatch(arguments[0]):
        sys.exit(f"version: {' '.join(arguments) or '(missing)'} must be MAJOR.MINOR.PATCH; make release VERSION=0.2.0")
    version = arguments[0]
    if changes := output("git", "status", "--porcelain"):
        sys.exit(f"git: the working tree has changes; commit or stash them first\n{changes}")
    if output("git", "tag", "--list", f"v{version}"):
        sys.exit(f"git: tag v{version} exists; choose the next version")
    changelog = dated(CHANGELOG.read_text(encoding="utf-8"), version, datetime.date.today())
    CHANGELOG.write_text(changelog, encoding="utf-8")
    replace(PYPROJECT, r'(?m)^version = ".*"$', f'version = "{version}"')
    replace(INIT, r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"')
    run(sys.executable, "-m", "pytest", "-q", "tests/test_wheel.py")
    run("git", "commit", "--quiet", "--all", "--message", f"Release {version}")
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Ragloom {version}")
    print(f"tagged v{version}; publish it with: git push --follow-tags")  # noqa: T201


def dated(changelog: str, version: str, day: datetime.date) -> str:
    """Move the unreleased changes under a version.

    Raises:
        SystemExit: nothing is unreleased.
    """
    head, mark, rest = changelog.partition(UNRELEASED)
    changes = rest.partition("\n## [")[0].strip()
    if not mark or not changes:
        sys.exit("CHANGELOG.md: nothing stands under [Unreleased]; describe the changes first")
    return f"{head}{UNRELEASED}\n## [{version}] - {day.isoformat()}\n{rest}"


def replace(path: Path, pattern: str, text: str) -> None:
    """Replace the one match of a pattern in a file."""
    changed, count = re.subn(pattern, text, path.read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(f"{path.name}: {pattern} must match once, and matches {count} times")
    path.write_text(changed, encoding="utf-8")


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def run(*command: str) -> None:
    """Run a command; its failure ends the release."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(f"release: {' '.join(command)} failed; undo with: git checkout .")


if __name__ == "__main__":
    main(sys.argv[1:])
