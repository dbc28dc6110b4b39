"""Rules between keys: each builder declares its own, and an option with other keys needs none of a group's."""

from __future__ import annotations

from pathlib import Path

import pytest

from messages import whole_wording
from messages.config import at_most
from ragloom.config.config import load
from ragloom.config.key_rules import checked_by, key_problems
from ragloom.errors import ConfigError

EXTENSION = '''
from ragloom.config.builder_keys import Positive, code_version
from ragloom.config.key_rules import checked_by


def ordered(values):
    if values["first"] > values["last"]:
        yield f"chunking: first={values['first']} must be at most last={values['last']}; lower it"


@code_version(1)
@checked_by(ordered)
def lines(*, first: Positive, last: Positive):
    """Cuts."""
'''


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An extension whose chunker has none of the keys of ours."""
    (tmp_path / "own_lines.py").write_text(EXTENSION)
    (tmp_path / "conf" / "chunking").mkdir(parents=True)
    (tmp_path / "conf" / "chunking" / "lines.yaml").write_text("_target_: own_lines.lines\nfirst: 1\nlast: 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "own_lines", raising=False)
    return ["chunking=lines", "extensions=[own_lines]"]


def test_chunker_without_a_key_of_ours_is_checked_by_its_own_rule_only(extension: list[str], tmp_path: Path) -> None:
    (config,) = load(extension, extra_dir=str(tmp_path / "conf"))
    assert config.values("chunking") == {"first": 1, "last": 2}
    with pytest.raises(ConfigError, match=whole_wording("chunking: " + at_most("first=3", "last=2") + "; lower it")):
        load([*extension, "chunking.first=3"], extra_dir=str(tmp_path / "conf"))


def test_rules_name_all_problems_before_the_builder_runs() -> None:
    @checked_by(lambda values: [f"a: {values['a']}"], lambda values: [f"b: {values['b']}"], lambda _: ())
    def build(a: int, *, b: int) -> None:
        pytest.fail("built")

    with pytest.raises(ConfigError) as caught:
        build(1, b=2)
    assert caught.value.problems == ("a: 1", "b: 2")
    assert key_problems(build, {"a": 3, "b": 4}) == ["a: 3", "b: 4"]


def test_builder_without_rules_has_no_problems() -> None:
    assert key_problems(lambda: None, {}) == []
