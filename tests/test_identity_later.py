"""What is added later is in no name while it changes nothing: a group at its neutral option, a key at its default."""

import functools
import importlib
import importlib.metadata
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
import yaml

from places import CONF
from ragloom.assembly import Assembly
from ragloom.comparison import run_loader
from ragloom.config import conf_folder, fingerprint, validation
from ragloom.config import config as configs
from ragloom.config.builder_keys import (
    ADDED_GROUPS,
    OPERATIONAL,
    Added,
    Positive,
    code_version,
    keys_of,
)
from ragloom.config.config import Config, load
from ragloom.config.labels import label_of, varying
from ragloom.config.labels import run_labels as labels
from ragloom.config.settings import COMPONENTS, OPERATIONAL_KEYS, TOP_LEVEL
from ragloom.evaluation import runner
from ragloom.evaluation.query_cache import all_described
from ragloom.evaluation.runner import trial_digest
from run_folders import write
from upgrade.identity import FILE, NEEDED, RAISED, identities, installed, sweep

RECORDED = json.loads(FILE.read_text(encoding="utf-8"))
OPTIONS = [choice.split("=") for choice in RECORDED["options"]]
GROUPS = {group: [option for other, option in OPTIONS if other == group] for group, _ in OPTIONS}
BUILT = [group for group in GROUPS if group not in ("experiment", "prices")]
SWEEP = next(iter(RECORDED["sweeps"]))
LATER = "stage_of_tomorrow"


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `conf/` that later work may add to."""
    copied = Path(shutil.copytree(CONF, tmp_path / "conf"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test-0123456789")
    monkeypatch.setattr(importlib.metadata, "version", installed)
    monkeypatch.setattr(conf_folder, "config_dir", lambda: copied)
    return copied


@code_version(1)
def local(*, slots: Annotated[Positive, OPERATIONAL, Added(2)]) -> None:
    """Build what changes nothing."""


@code_version(1)
def ray(*, address: str) -> None:
    """Build what may change something."""


@pytest.fixture
def later(conf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`conf/` with a group of later work, whose option `local` changes nothing."""
    built = ModuleType(f"ragloom.components.{LATER}")
    for builder in (local, ray):
        monkeypatch.setattr(builder, "__module__", built.__name__)
        setattr(built, builder.__name__, builder)
    monkeypatch.setitem(sys.modules, built.__name__, built)
    (conf / LATER).mkdir()
    (conf / LATER / "local.yaml").write_text(f"_target_: {built.__name__}.local\nslots: 2\n", encoding="utf-8")
    (conf / LATER / "ray.yaml").write_text(f"_target_: {built.__name__}.ray\naddress: here\n", encoding="utf-8")
    text = (conf / "config.yaml").read_text(encoding="utf-8")
    added = text.replace("  - prices: openai\n", f"  - {LATER}: local\n  - prices: openai\n")
    assert added != text
    (conf / "config.yaml").write_text(added, encoding="utf-8")
    for module in (configs, validation):
        monkeypatch.setattr(module, "COMPONENTS", (*COMPONENTS, LATER))
    monkeypatch.setitem(ADDED_GROUPS, LATER, "local")
    return conf


def composed(*overrides: str) -> Config:
    (config,) = load(list(overrides))
    return config


def ends(group: str) -> set[str]:
    """The first and the last option of a group: all of them have the names of before in a test without additions."""
    same = [option for option in GROUPS[group] if f"{group}={option}" not in RAISED]
    return {same[0], same[-1]}


@pytest.mark.parametrize("group", GROUPS)
def test_later_group_at_its_neutral_option_renames_no_option_of_a_group(later: Path, group: str) -> None:
    for option in ends(group):
        choice = f"{group}={option}"
        assert composed(choice, *NEEDED.get(choice, ())).choices[LATER] == "local"
        assert identities(group, option) == RECORDED["options"][choice]


def test_later_group_at_its_neutral_option_is_neither_saved_nor_in_a_sweep(later: Path) -> None:
    assert sweep(tuple(SWEEP.split())) == RECORDED["sweeps"][SWEEP]
    config = composed()
    assert LATER in config.tree
    assert LATER not in config.public()
    assert LATER not in config.public_choices()


def test_later_group_counts_with_another_option_and_with_a_changed_key(later: Path) -> None:
    names = {trial_digest(composed(*given)) for given in ((), (f"{LATER}=ray",), (f"{LATER}.slots=3",))}
    assert len(names) == 3
    swept = load([f"{LATER}=local,ray"], sweep=True)
    assert [label_of(config, varying(swept)) for config in swept] == [f"{LATER}=local", f"{LATER}=ray"]
    assert composed(f"{LATER}=ray").public()[LATER]["address"] == "here"
    assert composed(f"{LATER}=ray").public_choices()[LATER] == "ray"


def test_later_group_that_shapes_an_index_renames_none_at_its_neutral_option(
    later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "SHAPING_GROUPS", (*fingerprint.SHAPING_GROUPS, LATER))
    before = RECORDED["options"]["chunking=fixed"]["index"]
    assert Assembly(composed()).index_name == before
    assert Assembly(composed(f"{LATER}=ray")).index_name != before


def test_later_group_is_in_a_stage_key_only_where_it_changes_something(later: Path) -> None:
    assert set(all_described(composed(), "reranker", LATER)) == {"reranker"}
    assert set(all_described(composed(f"{LATER}=ray"), "reranker", LATER)) == {"reranker", LATER}


def test_later_group_that_is_operational_renames_no_run_whatever_its_option(
    later: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, other = composed(), composed(f"{LATER}=ray")
    saved = [{"config": each.public(), "choices": each.public_choices()} for each in (config, other)]
    folders = [write(tmp_path / str(at), [0.5], **each) for at, each in enumerate(saved)]
    assert len({run_loader.load_run(folder).identity for folder in folders}) == 2
    for module in (configs, run_loader, runner):
        monkeypatch.setattr(module, "OPERATIONAL_KEYS", OPERATIONAL_KEYS | {LATER})
    assert trial_digest(other) == trial_digest(config)
    assert len({run_loader.load_run(folder).identity for folder in folders}) == 1


def test_run_made_before_a_group_was_added_is_one_of_the_same_config(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    before = composed()
    saved = [{"config": before.public(), "choices": before.choices}]
    request.getfixturevalue("later")
    saved += [
        {"config": each.public(), "choices": each.public_choices()} for each in (composed(), composed(f"{LATER}=ray"))
    ]
    old, now, another = (run_loader.load_run(write(tmp_path / str(at), [0.5], **each)) for at, each in enumerate(saved))
    assert old.identity == now.identity != another.identity
    assert labels([old, another]) == labels([now, another]) == ["local", "ray"]


def gaining(builder: Callable[..., Any]) -> Callable[..., Any]:
    """A builder as later work may change it: it has one key more."""

    @functools.wraps(builder)
    def built(*given: Any, later: int, **values: Any) -> Any:
        return builder(*given, **values)

    signature = inspect.signature(builder)
    key = inspect.Parameter("later", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[int, Added(1)])
    built.__signature__ = signature.replace(parameters=[*signature.parameters.values(), key])  # type: ignore[attr-defined]
    return built


@pytest.mark.parametrize("group", BUILT)
def test_later_key_at_its_default_renames_no_option_of_a_group(
    conf: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    for option in GROUPS[group]:
        file = conf / group / f"{option}.yaml"
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        module, _, name = tree["_target_"].rpartition(".")
        builder = getattr(importlib.import_module(module), name)
        if "later" not in keys_of(builder):
            monkeypatch.setattr(importlib.import_module(module), name, gaining(builder))
        file.write_text(file.read_text(encoding="utf-8") + "later: 1\n", encoding="utf-8")
    for option in ends(group):
        choice = f"{group}={option}"
        assert identities(group, option) == RECORDED["options"][choice]
        changed = composed(choice, *NEEDED.get(choice, ()), f"{group}.later=2")
        assert trial_digest(changed) != RECORDED["options"][choice]["trial"]


def test_later_top_level_keys_at_their_default_rename_no_run(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = conf / "config.yaml"
    text = file.read_text(encoding="utf-8")
    added = text.replace("\nmetrics: ", "\nlater: 1\nmetrics: ").replace(
        "  convention: union", "  more: 1\n  convention: union"
    )
    assert added.count("later: 1") == added.count("more: 1") == 1
    file.write_text(added, encoding="utf-8")
    settings = TOP_LEVEL["metrics"]
    monkeypatch.setitem(TOP_LEVEL, "later", Annotated[int, Added(1)])
    monkeypatch.setitem(settings.__annotations__, "more", Annotated[int, Added(1)])
    monkeypatch.setattr(settings, "__required_keys__", settings.__required_keys__ | {"more"})
    digest = RECORDED["options"]["chunking=fixed"]["trial"]
    assert trial_digest(composed()) == digest
    assert len({digest, trial_digest(composed("later=2")), trial_digest(composed("metrics.more=2"))}) == 3


@pytest.mark.parametrize("group", sorted(file.name for file in CONF.iterdir() if file.is_dir()))
def test_group_is_one_of_before_or_declares_what_changes_nothing(group: str) -> None:
    """A group without a recorded option was added later: the default config must not be another one by it."""
    assert group in GROUPS or composed().is_neutral(group)
