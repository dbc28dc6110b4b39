"""Every option has the names that 0fa5703 gave it: of its index, cache entries, stages, trial and sweep label."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from ragloom.components import chunking
from upgrade.identity import FILE, RAISED, identities, installed, sweep

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test-0123456789")
    monkeypatch.setattr(importlib.metadata, "version", installed)


@pytest.mark.parametrize("choice", RECORDED["options"])
def test_names_of_an_option_are_those_of_before(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    group, _, option = choice.partition("=")
    recorded = RECORDED["options"][choice]
    if choice in RAISED:
        assert identities(group, option)["index"] != recorded["index"]
        monkeypatch.setattr(getattr(chunking, option), "code_version", recorded["described"]["code_version"])
    assert identities(group, option) == recorded


@pytest.mark.parametrize("overrides", RECORDED["sweeps"])
def test_names_of_a_sweep_are_those_of_before(overrides: str) -> None:
    assert sweep(tuple(overrides.split())) == RECORDED["sweeps"][overrides]
