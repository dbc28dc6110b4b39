"""Builders that cannot be imported: the error names the place in the extension."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragloom.config.builder_lookup import locate
from ragloom.config.config import load
from ragloom.errors import ConfigError


@pytest.mark.parametrize(
    ("package", "code", "reason"),
    [
        ("lacks_import", "from ragloom.core.records import Chunky", "cannot import name 'Chunky'"),
        (
            "lacks_attribute",
            "import ragloom.errors as errors\n\nclass Own(errors.Missing): ...",
            "no attribute 'Missing'",
        ),
        ("lacks_base", "class Own(Missing): ...", "name 'Missing' is not defined"),
    ],
)
def test_missing_helper_of_an_extension_is_named_with_file_and_line(
    package: str, code: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / package / "parts.py"
    file.parent.mkdir()
    (file.parent / "__init__.py").write_text(f"from {package}.parts import Own\n\n\ndef own(): ...\n")
    file.write_text(f"{code}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "chunking").mkdir()
    (tmp_path / "chunking" / "mine.yaml").write_text(f"_target_: {package}.own\n")
    with pytest.raises(ConfigError) as caught:
        load(["chunking=mine", f"extensions=[{package}]"], extra_dir=str(tmp_path))
    (line,) = caught.value.problems
    where = f"{package}.parts ({file}, line {len(code.splitlines())}): "
    assert line.startswith(f"chunking: _target_={package}.own must be importable; {where}")
    assert reason in line


def test_failure_outside_an_extensions_lines_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_value.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        locate("wrong_value.own", ["wrong_value"])
