"""Config: wrong input is named with its value, its rule and the nearest right name, all at once and without secrets."""

import sys
from pathlib import Path

import pytest

from messages.config import (
    at_most,
    did_you_mean,
    greater_than,
    no_backslash_escape,
    no_secret,
    not_one_option,
    one_of,
    one_value,
    option_override,
    unknown_key,
    unknown_name,
    unknown_option,
    unset,
    whole_number,
)
from ragloom.config.config import Config, load
from ragloom.errors import ConfigError


def problems(*overrides: str, sweep: bool = False, extra_dir: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(list(overrides), sweep=sweep, extra_dir=extra_dir)
    return list(caught.value.problems)


def only(*overrides: str) -> str:
    (line,) = problems(*overrides)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "override",
    [
        'chunking.separators=["\\n\\n"," "]',
        "chunking.separators=['\\t']",
        'chunking.separators=["\\\\n"]',
        'embedding.embedded_metadata=["a\\u0041"]',
        r"runs=C:\new",
        '+prices.models={"a\\rb": {input: 1, output: 1}}',
    ],
)
def test_escape_on_the_command_line_is_refused_with_the_way_to_write_it(override: str) -> None:
    """`["\\n\\n"]` arrived as backslash and n, and silently gave another chunking."""
    line = only("chunking=recursive", override)
    assert no_backslash_escape("") in line
    assert "write $'" in line


def test_line_end_that_the_shell_has_made_is_one(tmp_path: Path) -> None:
    (config,) = load(["chunking=recursive", 'chunking.separators=["\n\n","\\""," "]'])
    assert config.tree["chunking"]["separators"] == ["\n\n", '"', " "]
    swept = load(["chunking=recursive", 'chunking.separators=["\n\n"],["\t"]'], sweep=True)
    assert [config.tree["chunking"]["separators"] for config in swept] == [["\n\n"], ["\t"]]


def test_default_config_is_valid() -> None:
    (config,) = load([])
    assert config.choices["chunking"] == "fixed"
    assert config.choices["embedding"] == "hashing"


def test_wrong_group_names_the_nearest() -> None:
    assert only("chunkin=fixed") == unknown_name("chunkin=fixed") + did_you_mean("chunking")


def test_wrong_option_names_the_nearest() -> None:
    line = only("chunking=paragraf")
    assert line.startswith(unknown_option("chunking=paragraf", "chunking") + did_you_mean("paragraph"))
    assert "known: " in only("chunking=zzz")


def test_wrong_option_says_where_own_options_are_looked_for(tmp_path: Path) -> None:
    assert only("chunking=mine").endswith(" (your own options: add --config-dir FOLDER)")
    (line,) = problems("chunking=mine", extra_dir=str(tmp_path))
    assert "--config-dir" not in line


def test_wrong_key_names_the_nearest() -> None:
    line = only("chunking.chunk_sise=5")
    assert line == unknown_key("chunking.chunk_sise=5", "chunking") + did_you_mean("chunking.chunk_size")


def test_added_key_is_checked_too() -> None:
    assert unknown_key("", "fixed") in only("+chunking.colour=red")


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("chunking.chunk_size=0", "chunking: " + greater_than("chunking.chunk_size=0", 0)),
        ("chunking.chunk_size=abc", "chunking: " + whole_number("chunking.chunk_size='abc'")),
        ("chunking.chunk_size=1.5", "chunking: " + whole_number("chunking.chunk_size=1.5")),
        ("chunking.chunk_size=true", "chunking: " + whole_number("chunking.chunk_size=True")),
        ("chunking.chunk_size=null", "chunking: " + whole_number("chunking.chunk_size=None")),
        ("retriever.top_k=-3", "retriever: " + greater_than("retriever.top_k=-3", 0)),
        ("output=jsn", "config: " + one_of("output='jsn'", "text", "json") + did_you_mean("json")),
    ],
)
def test_wrong_value_names_value_and_rule(override: str, rule: str) -> None:
    assert only(override) == rule


def test_wrong_choice_of_a_key_names_the_nearest() -> None:
    line = only("source=folder", "source.path=docs", "source.on_unreadable=stopp")
    assert line.startswith("source: " + one_of("source.on_unreadable='stopp'", "report", "stop"))
    assert did_you_mean("stop") in line


def test_missing_value_is_named() -> None:
    assert only("source=folder") == "source: " + unset("source.path")


def test_all_problems_are_told_at_once() -> None:
    lines = problems("chunking=paragraf", "embeding=openai", "retriever.top_kk=3", "a b", "llm.api_key=sk-planted-1")
    assert len(lines) == 5
    mixed = problems(
        "chunkng=fixed",
        "chunking.chunk_sze=5",
        "chunking.chunk_overlap=900",
        "retriever.top_k=0",
        "output=jsn",
        "prices=null",
    )
    assert len(mixed) == 6
    assert len(problems("chunking.chunk_overlap=900", "reranker=mmr", "reranker.top_n=20", "retriever.top_k=5")) == 2


def test_overlap_must_be_below_the_size() -> None:
    """TRAPS 18."""
    line = only("chunking.chunk_size=50", "chunking.chunk_overlap=50")
    assert "chunk_overlap=50" in line
    assert "chunk_size" in line


def test_size_must_hold_one_character() -> None:
    assert "chunk_size=1" in only("chunking.chunk_size=1", "chunking.chunk_overlap=0")


def test_top_n_must_be_at_most_top_k() -> None:
    line = only("retriever.top_k=3", "reranker=mmr", "reranker.top_n=4")
    assert at_most("reranker.top_n=4", "retriever.top_k=3") in line


def test_top_n_of_no_reranker_follows_top_k() -> None:
    (config,) = load(["retriever.top_k=3"])
    assert config.values("reranker")["top_n"] == 3


def test_passages_and_reply_must_fit_the_context_window() -> None:
    window = ["llm=openai", "llm.context_window=6000", "llm.max_tokens=1000"]
    line = only(*window, "prompt.max_context_tokens=4489")
    assert at_most("prompt.max_context_tokens=4489", 4488) in line
    assert load([*window, "prompt.max_context_tokens=4488"])


def test_llm_reranker_needs_an_llm_that_writes() -> None:
    assert "llm=openai" in only("reranker=llm", "llm=extractive")


@pytest.mark.parametrize(
    "override", ["source.path=한글 폴더", "source.path=a(b", "source.path=a&b'c", "source.path=a=b,c", "source.path=[a"]
)
def test_value_that_hydra_cannot_parse_is_answered_with_the_right_quoting(override: str) -> None:
    """TRAPS 28."""
    line = only("source=folder", override)
    value = override.partition("=")[2]
    assert "quote" in line
    assert f'source.path="{value}"' in line.replace("'\\''", "'")


@pytest.mark.parametrize("path", ["한글 폴더/문서", "a, b", "it's", "k=v", "a&b#c(d)", 'say "hi"'])
def test_path_in_hydras_quoting_arrives_as_it_is(path: str) -> None:
    """TRAPS 28."""
    escaped = path.replace('"', '\\"')
    (config,) = load(["source=folder", f'source.path="{escaped}"'])
    assert config.values("source")["path"] == path


def test_secret_in_an_override_is_refused_and_not_repeated() -> None:
    line = only("llm.api_key=sk-planted-secret")
    assert "planted" not in line
    assert "environment" in line


@pytest.mark.parametrize(
    "override",
    [
        "embedding.dimensions={password: hunter2secret}",
        "+embedding.headers={api_key: hunter2secret}",
        "chunking={api_key: hunter2secret}",
        "hydra.job.env_set={MY_API_KEY: hunter2secret}",
        "hydra.job.env_set.MY_API_KEY=hunter2secret",
        "embedding={model: x, secret: hunter2secret,}",
        "+embedding.x-api-key=hunter2secret",
    ],
)
def test_secret_inside_a_value_is_refused_and_not_repeated(override: str) -> None:
    line = only(override)
    assert "hunter2" not in line
    assert "environment" in line


@pytest.mark.parametrize("override", ["extensions=5", "extensions=foo", "prices.models=5", "prices.models.gpt-4=7"])
def test_top_level_keys_have_a_rule_too(override: str) -> None:
    assert only(override).startswith(f"config: {override} must be".replace("foo", "'foo'"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+chunking=paragraph", option_override("chunking")),
        ("chunking@x=fixed", option_override("chunking")),
        ("+x=1", unknown_name("") + "; known: "),
        ("chunking=[fixed,paragraph]", not_one_option()),
        ("chunking=null", unknown_option("chunking=null", "chunking")),
        ("~llm", "an option must be chosen"),
        ("~chunking.chunk_size", "an override removed it"),
        ("source.name=${nope}", "cannot be resolved"),
        ("++chunking.chunk_size=0", greater_than("", 0)),
    ],
)
def test_unusual_override_is_answered_in_our_words(override: str, message: str) -> None:
    assert message in only(override)


def test_secret_of_the_environment_is_refused_as_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "plantedkey-1234567")
    line = only("source.name=${oc.env:OPENAI_API_KEY}")
    assert "planted" not in line
    assert no_secret("") in line


def test_own_hydra_of_the_caller_stays() -> None:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from ragloom.config.conf_folder import config_dir

    with initialize_config_dir(version_base=None, config_dir=str(config_dir())):
        load([])
        assert GlobalHydra.instance().is_initialized()


def test_secret_in_a_yaml_is_refused_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "mine.yaml").write_text(
        "_target_: ragloom.components.llm.extractive\nmax_sentences: 2\napi_key: planted-secret-value\n"
    )
    (line,) = problems("llm=mine", extra_dir=str(tmp_path))
    assert "planted" not in line
    assert "llm.api_key=***" in line


def test_secret_reaches_no_saved_config() -> None:
    (config,) = load([])
    tree = {**config.tree, "llm": {**config.tree["llm"], "api_key": "planted-secret-value"}}
    assert "planted" not in str(Config(tree, config.choices).public())


def test_list_of_values_needs_a_sweep() -> None:
    assert one_value("") in only("chunking=fixed,paragraph")
    configs = load(["chunking=fixed,paragraph", "retriever.top_k=3,5"], sweep=True)
    assert [(item.choices["chunking"], item.values("retriever")["top_k"]) for item in configs] == [
        ("fixed", 3),
        ("fixed", 5),
        ("paragraph", 3),
        ("paragraph", 5),
    ]


def test_every_value_of_a_sweep_is_checked() -> None:
    lines = problems("chunking=fixed,paragraf", "chunking.chunk_size=100,0", sweep=True)
    assert any("paragraf" in line for line in lines)
    assert any("chunk_size=0" in line for line in problems("chunking.chunk_size=100,0", sweep=True))


def test_target_outside_ragloom_needs_an_extension(tmp_path: Path) -> None:
    """TRAPS 30."""
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "evil.yaml").write_text("_target_: os.system\ncommand: 'true'\n")
    (line,) = problems("llm=evil", extra_dir=str(tmp_path))
    assert "extensions" in line


def write_option(place: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """Writes the option llm=loud of a package my_loud, whose yaml has one key; returns its conf folder."""
    (place / "my_loud.py").write_text(code)
    (place / "conf" / "llm").mkdir(parents=True)
    (place / "conf" / "llm" / "loud.yaml").write_text("_target_: my_loud.loud\nvolume: 0\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "my_loud", raising=False)
    return str(place / "conf")


def test_builder_of_a_module_with_postponed_annotations_has_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from __future__ import annotations\n\nfrom ragloom.config.builder_keys import Positive\n\n\n"
        "def loud(*, volume: Positive):\n    return None\n"
    )
    conf = write_option(tmp_path, monkeypatch, code)
    (line,) = problems("llm=loud", "extensions=[my_loud]", extra_dir=conf)
    assert line == "llm: " + greater_than("llm.volume=0", 0)


def test_builder_whose_keys_lack_the_star_says_where_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = write_option(tmp_path, monkeypatch, "def loud(volume):\n    return None\n")
    (line,) = problems("llm=loud", "extensions=[my_loud]", extra_dir=conf)
    assert line.startswith("llm: " + unknown_key("llm.volume=0", "loud"))
    assert "write *" in line


def test_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = write_option(tmp_path, monkeypatch, "")
    monkeypatch.delitem(sys.modules, "my_loud", raising=False)
    (tmp_path / "my_loud.py").unlink()
    (line,) = problems("llm=loud", "extensions=[my_loud]", extra_dir=conf)
    assert "'my_loud'; install" in line
    (line,) = problems("llm=loud", extra_dir=conf)
    assert "'extensions=[my_loud]'" in line


def test_option_of_ones_own_package_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rag.py").write_text(
        "from llama_index.core.llms import MockLLM\n\nfrom ragloom.config.builder_keys import Positive\n\n\n"
        "def loud(analyzer, *, volume: Positive):\n    return MockLLM(max_tokens=volume)\n"
    )
    (tmp_path / "conf" / "llm").mkdir(parents=True)
    (tmp_path / "conf" / "llm" / "loud.yaml").write_text("_target_: my_rag.loud\nvolume: 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    conf = str(tmp_path / "conf")
    (config,) = load(["llm=loud", "extensions=[my_rag]"], extra_dir=conf)
    from ragloom.assembly import Assembly

    assert Assembly(config).llm.max_tokens == 3
    (line,) = problems("llm=loud", "extensions=[my_rag]", "llm.volume=0", extra_dir=conf)
    assert line == "llm: " + greater_than("llm.volume=0", 0)


def test_experiment_overrides_are_applied_and_can_be_overridden() -> None:
    (config,) = load(["experiment=baseline_offline", "retriever.top_k=4"])
    assert config.choices["chunking"] == "recursive"
    assert config.values("chunking")["chunk_size"] == 500
    assert config.values("retriever")["top_k"] == 4


def test_one_embedding_serves_all_who_need_it() -> None:
    """TRAPS 30: `${embedding}` inside another node would build a second model."""
    from ragloom.assembly import Assembly

    (config,) = load(["chunking=semantic", "reranker=mmr"])
    assembly = Assembly(config)
    assert assembly.available("chunking")["embedding"] is assembly.embedding
    assert assembly.available("reranker")["embedding"] is assembly.embedding
