"""What an older version of Ragloom left behind is read, named as it was, and renewed without embedding anything."""

from __future__ import annotations

import inspect
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback import OpenAIServer
from messages import wording
from messages.evaluation import built_by_version, promote_or_install
from programs import run
from ragloom.assembly import Assembly
from ragloom.components import analyzer, chunking, embedding, source, vector_store
from ragloom.config.builder_keys import code_version
from ragloom.config.config import build, load
from ragloom.config.fingerprint import digest
from ragloom.errors import ConfigError

HERE = Path(__file__).resolve().parent / "upgrade"
RECORDED = json.loads((HERE / "recorded.json").read_text(encoding="utf-8"))
QUESTIONS = {"How long is the frame covered?": "en/warranty.md", "환불은 언제까지 신청할 수 있나요?": "ko/refunds.txt"}


class Old:
    """A store and a cache as f425178 left them, over documents that are here now."""

    def __init__(self, root: Path, server: OpenAIServer) -> None:
        self.root, self.server = root, server
        shutil.copytree(HERE / "docs", root / "docs")
        with tarfile.open(HERE / "store.tar.xz") as archive:
            archive.extractall(root, filter="data")
        file = root / "store" / RECORDED["index"] / "index.json"
        identity = json.loads(file.read_text(encoding="utf-8"))
        assert identity["root"] == RECORDED["root"]
        file.write_text(json.dumps({**identity, "root": str(root / "docs")}), encoding="utf-8")

    @property
    def overrides(self) -> list[str]:
        """The config, with the address that the cache knows the vectors by: nobody listens there."""
        keys = ["source=folder", "source.path=docs", "embedding=openai", "embedding.dimensions=8"]
        places = ["vector_store.path=store", "cache.path=cache", "workers.processes=0"]
        return [*keys, *places, f"embedding.base_url={RECORDED['base_url']}"]

    @property
    def asking(self) -> str:
        """The address of a server that embeds questions."""
        return f"embedding.base_url={self.server.base_url}"

    def assembly(self, *overrides: str) -> Assembly:
        (config,) = load([*self.overrides, *overrides])
        return Assembly(config)

    def found(self, assembly: Assembly, **opening: bool) -> list[str]:
        """Asks both questions; returns the document of each first chunk."""
        engine = assembly.query_engine(assembly.open(**opening), answering=False)
        return [str(engine.search(question).nodes[0].node.ref_doc_id) for question in QUESTIONS]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test-0123456789")
    monkeypatch.chdir(tmp_path)
    with OpenAIServer() as server:
        yield Old(tmp_path, server)


def later(monkeypatch: pytest.MonkeyPatch, builder: Any, **further: Any) -> None:
    """Raises a builder's code version, as a release would whose output is another."""
    for name, value in {"code_version": builder.code_version + 1, **further}.items():
        monkeypatch.setattr(builder, name, value)


def demand_older(old: Old, **opening: bool) -> None:
    with old.assembly(old.asking, *(() if opening else ("vector_store.alias=live",))) as assembly:
        assert old.found(assembly, **opening) == list(QUESTIONS.values())
        assert assembly.older is not None
        assert assembly.older.name == RECORDED["index"]


def test_name_of_an_index_is_the_digest_of_what_shaped_it() -> None:
    assert RECORDED["index"] == f"docs-{digest(RECORDED['description'])}"


def test_only_code_versions_name_another_index_than_before(old: Old) -> None:
    """A key of this release at its default renames nothing."""
    ours, theirs = old.assembly().description, RECORDED["description"]
    for group, keys in theirs.items():
        assert {**ours[group], "code_version": keys["code_version"]} == keys


def test_store_of_an_older_version_answers_where_the_new_index_is_missing(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, source.folder)
    demand_older(old, or_older=True)


def test_promoted_index_of_an_older_version_answers(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, source.folder)
    demand_older(old)


def test_renewing_an_index_embeds_nothing(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of the older version has every text."""
    later(monkeypatch, source.folder)
    estimate = old.assembly("dry_run=true").rehearse()
    assert (estimate.new_chunks, estimate.tokens, estimate.requests) == (RECORDED["chunks"], 0, 0)
    summary = old.assembly().ingest()
    assert (summary.embedded, summary.added, summary.usage.cache.hits) == (0, 4, 4)
    assert not old.server.requests
    assert summary.index != RECORDED["index"]
    with old.assembly(old.asking) as assembly:
        assert old.found(assembly) == list(QUESTIONS.values())
        assert assembly.older is None
        assembly.database.promote(assembly.index_name, "live")
    assert old.found(old.assembly("vector_store.alias=live", old.asking)) == list(QUESTIONS.values())


def test_query_says_in_one_line_that_the_index_is_older_and_what_to_run(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, source.folder)
    question = next(iter(QUESTIONS))
    done = run("run_query", question, "--retrieve-only", "--json", *old.overrides, old.asking, cwd=old.root)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    new = old.assembly().index_name
    version = source.folder.code_version
    for part in (RECORDED["index"], f"source.code_version: 1 -> {version}", "cached texts cost nothing"):
        assert part in line
    for part in ("dry_run=true", "ingest.py", f"indexes.py promote {new} live", "indexes.py prune"):
        assert part in line
    assert json.loads(done.stdout)["notes"] == [line.removeprefix("note: ")]
    old.assembly().ingest()
    assert run("run_query", question, "--retrieve-only", *old.overrides, old.asking, cwd=old.root).stderr == ""


def test_index_that_differs_in_more_than_code_versions_is_not_taken(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, source.folder)
    assert run("run_query", "frame?", *old.overrides, "chunking.chunk_size=200", cwd=old.root).returncode == 1
    shutil.copytree(old.root / "docs", old.root / "else" / "docs")
    assert run("run_query", "frame?", *old.overrides, "source.path=else/docs", cwd=old.root).returncode == 1


@pytest.mark.parametrize("documents", [0, 2])
def test_interrupted_renewal_leaves_the_older_index_to_answer(
    old: Old, monkeypatch: pytest.MonkeyPatch, documents: int
) -> None:
    later(monkeypatch, source.folder)
    read = iter(range(documents))
    summary = old.assembly().ingest(stop=lambda: next(read, None) is None)
    assert summary.stopped
    assert summary.documents == documents
    demand_older(old, or_older=True)
    assert old.assembly().ingest().complete
    with old.assembly() as assembly:
        assembly.open(or_older=True)
        assert assembly.older is None


class Exclaiming:
    """An analyzer of another version: terms that no older index holds."""

    def terms(self, text: str) -> list[str]:
        return [f"{word}!" for word in text.split()]


def exclaiming() -> Exclaiming:
    """Builds the analyzer of another version."""
    return Exclaiming()


@pytest.mark.parametrize("opening", [{}, {"or_older": True}], ids=["promoted", "by default"])
@pytest.mark.slow
def test_index_of_a_former_analyzer_is_queried_by_that_analyzer(
    old: Old, monkeypatch: pytest.MonkeyPatch, opening: dict[str, bool]
) -> None:
    now = analyzer.multilingual
    raised = code_version(now.code_version + 1, former={**now.former, now.code_version: now})(exclaiming)
    monkeypatch.setattr(raised, "__name__", now.__name__)
    monkeypatch.setattr(raised, "__module__", now.__module__)
    monkeypatch.setattr(analyzer, "multilingual", raised)
    with old.assembly("retriever=bm25", *(() if opening else ("vector_store.alias=live",))) as assembly:
        assert isinstance(assembly.analyzer, Exclaiming)
        assert old.found(assembly, **opening) == list(QUESTIONS.values())
        assert not isinstance(assembly.analyzer, Exclaiming)
    assert old.assembly().ingest().added == 4
    with old.assembly("retriever=bm25") as assembly:
        assert isinstance(assembly.open().analyzer, Exclaiming)


def test_index_of_a_former_embedding_is_queried_by_that_embedding(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its vectors, and its part of the cache."""
    now = embedding.openai
    later(monkeypatch, now, former={1: at_one})
    with old.assembly("vector_store.alias=live", "retriever=bm25") as assembly:
        assembly.open()
        assert assembly.embedding.model_name == "of version 1"
        assert json.loads(assembly.embedding.cache.described)["code_version"] == 1
    assert old.assembly().embedding.model_name == "text-embedding-3-small"


def at_one(*, model: str, dimensions: int, embedded_metadata: list[str], max_tokens: int) -> Any:
    """Builds the embedding of another version, which had fewer keys."""
    (config,) = load(["embedding=openai", f"embedding.dimensions={dimensions}"])
    made = embedding.openai(**{**config.values("embedding"), "model": "of version 1"})
    assert (embedded_metadata, max_tokens) == (["heading"], 8191)
    return made


def test_version_that_this_release_lacks_is_named_with_a_way_on(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, analyzer.multilingual)
    with pytest.raises(ConfigError, match=wording(built_by_version(1, "analyzer=multilingual", 2))):
        old.assembly("vector_store.alias=live").open()
    with pytest.raises(ConfigError, match=wording(promote_or_install())):
        old.assembly().open(or_older=True)


@pytest.mark.parametrize("group", [analyzer, embedding, vector_store], ids=lambda group: group.__name__)
def test_every_builder_that_reads_an_index_keeps_its_former_versions(group: Any) -> None:
    for name, builder in inspect.getmembers(group, inspect.isfunction):
        if number := getattr(builder, "code_version", None):
            assert set(builder.former) >= set(range(1, number)), f"{group.__name__}.{name}"


def test_former_versions_take_the_keys_that_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = load(["chunking=fixed"])
    monkeypatch.setattr(chunking.fixed, "former", {0: lambda *, chunk_size: chunk_size})
    assert build(config, "chunking", 0) == config.values("chunking")["chunk_size"]
    with pytest.raises(KeyError):
        build(config, "chunking", 99)
