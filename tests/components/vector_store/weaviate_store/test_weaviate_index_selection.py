"""Choice of the index on a real server, also of old recorded ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from messages.vector_store import empty_index
from messages.weaviate import built_by_former_code, index_name_wanted
from programs import Done, run
from query.test_index_selection import TEXTS, Shop, demand_refused
from ragloom.assembly import Assembly
from ragloom.components import source
from ragloom.config.config import load
from test_upgrade import HERE, QUESTIONS, later
from weaviate_servers import Address
from weaviate_tools import replayed

pytestmark = pytest.mark.weaviate


class OnServer(Shop):
    """Two folders of the same last name, with indexes on a server."""

    def __init__(self, root: Path, server: list[str]) -> None:
        super().__init__(root)
        self.server = [*server, "vector_store.index.type=flat"]

    def run(self, script: str, *arguments: str, path: str | Path | None = None) -> Done:
        return super().run(script, *arguments, *self.server, path=path)

    def assembly(self, path: str | Path, *overrides: str) -> Assembly:
        keys = ["source=folder", f'source.path="{path}"', "workers.processes=0"]
        (config,) = load([*keys, *self.server, *overrides])
        return Assembly(config)


@pytest.fixture
def shop(tmp_path: Path, weaviate_server: Address, prefix: str) -> OnServer:
    return OnServer(tmp_path, weaviate_server.overrides(collection_prefix=prefix))


def test_index_of_another_folder_is_never_read(shop: OnServer) -> None:
    assert shop.ingest("a/docs").returncode == 0
    for path in ("b/docs", "nowhere/docs"):
        demand_refused(shop.ask(path))
    demand_refused(shop.ingest("b/docs"))
    demand_refused(shop.ingest("b/docs", "chunking=paragraph"))
    name = shop.assembly(shop.root / "a/docs").index_name
    demand_refused(shop.run("indexes", "rebuild", name, path="b/docs"))
    assert TEXTS["a"] in shop.ask("b/../a/docs/").stdout
    assert shop.run("indexes", "promote", name, "live").returncode == 0
    assert TEXTS["a"] in shop.ask("b/docs", "vector_store.alias=live").stdout


def test_moved_folder_is_taken_over_and_stays_so(shop: OnServer) -> None:
    assert shop.ingest("a/docs").returncode == 0
    shutil.move(shop.root / "a" / "docs", shop.root / "c" / "docs")
    summary = shop.ingest("c/docs", "source.moved=true", "output=json").summary
    assert (summary["unchanged"], summary["embedded"]) == (1, 0)
    assert TEXTS["a"] in shop.ask("c/docs").stdout
    demand_refused(shop.ask("a/docs"))
    name = shop.assembly(shop.root / "c/docs").index_name
    assert shop.run("indexes", "rebuild", name, path="c/docs").returncode == 0
    assert TEXTS["a"] in shop.ask("c/docs").stdout


def test_tenants_have_their_own_places(shop: OnServer) -> None:
    ours, theirs = "vector_store.tenant=ours", "vector_store.tenant=theirs"
    assert shop.ingest("a/docs", ours).returncode == 0
    assert shop.ingest("b/docs", theirs).returncode == 0
    assert TEXTS["a"] in shop.ask("a/docs", ours).stdout
    assert TEXTS["b"] in shop.ask("b/docs", theirs).stdout
    demand_refused(shop.ask("b/docs", ours))
    demand_refused(shop.ask("a/docs", theirs))
    moved = shop.ingest("b/docs", ours, "source.moved=true")
    assert moved.returncode == 0
    assert TEXTS["b"] in shop.ask("b/docs", ours).stdout
    demand_refused(shop.ask("a/docs", theirs))


def test_names_that_differ_in_case_are_two_corpora(shop: OnServer) -> None:
    for folder, text in (("Docs", TEXTS["a"]), ("DOCS", TEXTS["b"])):
        (shop.root / folder).mkdir()
        (shop.root / folder / "care.txt").write_text(text, encoding="utf-8")
        assert shop.ingest(folder).returncode == 0
    assert TEXTS["a"] in shop.ask("Docs").stdout
    assert TEXTS["b"] in shop.ask("DOCS").stdout


def test_source_without_a_readable_document_makes_no_index(shop: OnServer) -> None:
    (shop.root / "docs").mkdir()
    for content in (None, b""):
        if content is not None:
            (shop.root / "docs" / "a.txt").write_bytes(content)
        assert shop.ingest("docs").returncode == 1
        assert "no indexes" in shop.run("indexes", "list").stdout
        assert not shop.assembly("docs").database.has(shop.assembly("docs").index_name)


def test_empty_index_says_so_and_how_to_go_on(shop: OnServer) -> None:
    shop.assembly(shop.root / "a/docs").ingest(stop=lambda: True)
    done = shop.ask(shop.root / "a/docs")
    assert done.returncode == 1
    assert empty_index() in done.stderr


def test_index_that_is_not_there_is_not_asked_about(shop: OnServer) -> None:
    done = shop.run("indexes", "delete", "none")
    assert (done.returncode, index_name_wanted() in done.stderr) == (1, True)


def test_index_that_f425178_wrote_answers_and_is_renewed(
    tmp_path: Path, weaviate_server: Address, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(HERE / "docs", tmp_path / "docs")
    recorded = replayed(HERE / "weaviate.json.xz", weaviate_server.url, prefix, str(tmp_path / "docs"))
    server = weaviate_server.overrides(collection_prefix=prefix)
    keys = ["source=folder", f'source.path="{tmp_path / "docs"}"', "embedding.dimensions=64", "workers.processes=0"]
    later(monkeypatch, source.folder)
    (config,) = load([*keys, *server])
    with Assembly(config) as assembly:
        index = assembly.open(or_older=True)
        assert assembly.older is not None
        assert (index.info.name, index.info.documents) == (recorded["index"], 4)
        engine = assembly.query_engine(index, answering=False)
        for question, document in QUESTIONS.items():
            assert engine.search(question).nodes[0].node.ref_doc_id == document
        assembly.database.promote(recorded["index"], "live")
        done = run("run_query", next(iter(QUESTIONS)), *keys, *server, "vector_store.alias=live", cwd=tmp_path)
        assert built_by_former_code(recorded["index"]) in done.stderr
        assert assembly.ingest().added == 4
        assert assembly.open(or_older=True).info.name == assembly.index_name
    done = run("indexes", "promote", assembly.index_name, "live", *keys, *server, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"deleted {recorded['index']}" in run("indexes", "prune", "--yes", *keys, *server, cwd=tmp_path).stdout
