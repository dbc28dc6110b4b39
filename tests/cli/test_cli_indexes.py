"""`indexes.py` as a person and a program meet it, on each store: list, show, compare, delete, rebuild, promote, prune."""

import json
from pathlib import Path
from typing import Any

import pytest

from messages.cli import (
    alias_names,
    confirm_deletion,
    deleted_count_no_longer,
    deleted_in_statistics_line,
    known_aliases,
    named_by_aliases,
    no_index_to_keep,
    no_indexes,
    no_ingest_with_alias,
    not_deleted,
    promote_command,
    rebuild_command,
    store_of_command,
)
from messages.config import did_you_mean, no_key_value, one_value, too_many_combinations, unknown_option
from messages.vector_store import being_written, deleted_in_statistics
from programs import Done, run

pytestmark = pytest.mark.slow

SMALL = "chunking.chunk_size=100"


class Stand:
    """A working directory, and the overrides that choose its store."""

    def __init__(self, cwd: Path, store: list[str]) -> None:
        self.cwd, self.store = cwd, store

    def ingest(self, *overrides: str) -> str:
        """Builds the index of a config; returns its name."""
        done = run("ingest", "output=json", *self.store, *overrides, cwd=self.cwd)
        assert done.returncode == 0, done.stderr
        name: str = done.summary["index"]
        return name

    def run(self, verb: str, *arguments: str, stdin: str = "") -> Done:
        return run("indexes", verb, *arguments, *self.store, cwd=self.cwd, stdin=stdin)

    def json(self, verb: str, *arguments: str) -> Any:
        done = self.run(verb, *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def names(self) -> list[str]:
        return [info["name"] for info in self.json("list")]

    def ask(self, *overrides: str) -> Done:
        return run("run_query", "frame warranty?", "--json", *self.store, *overrides, cwd=self.cwd)


@pytest.fixture(params=["lancedb", pytest.param("weaviate", marks=pytest.mark.weaviate)])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    if request.param == "lancedb":
        return Stand(tmp_path, [])
    address, prefix = request.getfixturevalue("weaviate_server"), request.getfixturevalue("prefix")
    return Stand(tmp_path, address.overrides(collection_prefix=prefix))


@pytest.fixture
def local(tmp_path: Path) -> Stand:
    """A LanceDB folder, for what is the same on every store."""
    return Stand(tmp_path, [])


def test_list_show_compare_delete(stand: Stand) -> None:
    assert no_indexes() in stand.run("list").stdout
    names = sorted([stand.ingest(), stand.ingest(SMALL)])
    first, second = names
    infos = stand.json("list")
    assert [info["name"] for info in infos] == names
    assert {"documents", "chunks", "bytes", "bytes_estimated", "deleted_chunks", "notes", "aliases"} <= set(infos[0])
    listed = stand.run("list").stdout
    assert first in listed.replace("\n", "")
    assert ("~" in listed) == infos[0]["bytes_estimated"] == bool(stand.store)
    assert "chunk_size" in stand.run("show", first).stdout
    assert stand.json("show", first) == infos[0]
    assert "chunking.chunk_size" in stand.run("compare", first, second).stdout
    refused = stand.run("delete", first)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert stand.names() == names
    assert stand.json("delete", first, "--yes") == {"deleted": [first], "aliases": []}
    assert stand.names() == [second]
    for verb in ("show", "delete", "rebuild"):
        wrong = stand.run(verb, second + "x", *(["--yes"] if verb == "delete" else []))
        assert wrong.returncode == 1
        assert did_you_mean(second) in wrong.stderr


def test_overrides_may_stand_behind_options(local: Stand) -> None:
    name = local.ingest()
    done = run("indexes", "show", name, "--json", "vector_store.path=.ragloom/lancedb", cwd=local.cwd)
    assert json.loads(done.stdout)["name"] == name


def test_rebuild_keeps_the_index_and_what_it_answers(stand: Stand) -> None:
    name = stand.ingest()
    before, answer = stand.json("show", name), json.loads(stand.ask().stdout)
    after = stand.json("rebuild", name)
    assert after["version"] == before["version"] + 1
    assert [after[key] for key in ("name", "documents", "chunks", "description")] == [
        before[key] for key in ("name", "documents", "chunks", "description")
    ]
    again = json.loads(stand.ask().stdout)
    assert [(chunk["chunk"], chunk["score"]) for chunk in again["chunks"]] == [
        (chunk["chunk"], pytest.approx(chunk["score"], rel=1e-5)) for chunk in answer["chunks"]
    ]


@pytest.mark.weaviate
def test_deleted_chunks_are_told_by_ingest_and_list_until_a_rebuild(
    tmp_path: Path, weaviate_server: Any, prefix: str
) -> None:
    """TRAPS 40."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(3):
        (docs / f"{n}.txt").write_text(f"Words of document {n}.")
    stand = Stand(tmp_path, [*weaviate_server.overrides(collection_prefix=prefix), "source=folder", "source.path=docs"])
    name = stand.ingest()
    assert "deleted" not in stand.run("list").stdout
    (docs / "0.txt").unlink()
    done = run("ingest", *stand.store, cwd=tmp_path)
    assert deleted_in_statistics(1) in done.stdout.replace("\n", " ")
    assert rebuild_command(name) + " vector_store=weaviate" in done.stdout
    (info,) = stand.json("list")
    assert info["deleted_chunks"] == 1
    assert rebuild_command("NAME") in stand.run("list").stdout
    assert deleted_in_statistics_line(1) in stand.run("show", name).stdout
    assert deleted_count_no_longer(1) in stand.run("rebuild", name).stdout
    assert stand.json("show", name)["deleted_chunks"] == 0


def test_promoted_index_is_what_queries_with_the_alias_read(stand: Stand) -> None:
    first, second = stand.ingest(), stand.ingest(SMALL)
    assert stand.json("promote", second, "prod") == {"alias": "prod", "index": second, "before": None}
    found = json.loads(stand.ask("vector_store.alias=prod").stdout)
    assert found["index"] == {"name": second, "fingerprint": second.rpartition("-")[2], "alias": "prod"}
    assert json.loads(stand.ask().stdout)["index"]["name"] == first
    assert f"(was {second})" in stand.run("promote", first, "prod").stdout
    assert json.loads(stand.ask("vector_store.alias=prod").stdout)["index"]["name"] == first
    assert {info["name"]: info["aliases"] for info in stand.json("list")} == {first: ["prod"], second: []}
    assert "aliases: prod" in stand.run("show", first).stdout
    assert "prod" in stand.run("list").stdout


def test_alias_whose_index_was_analysed_or_embedded_otherwise_is_refused_with_the_keys(stand: Stand) -> None:
    stand.run("promote", stand.ingest("source.name=other", "chunking=paragraph"), "prod")
    assert stand.ask("vector_store.alias=prod").returncode == 0  # corpus and chunking may differ
    for overrides, key in ((["embedding.dimensions=512"], "embedding.dimensions: 512 / "), (["analyzer=english"], "")):
        done = stand.ask("vector_store.alias=prod", *overrides)
        assert done.returncode == 1
        assert alias_names("prod", "other-") in done.stderr
        assert (key or "analyzer.builder: ") in done.stderr


def test_unknown_alias_names_those_that_there_are_and_the_command(local: Stand) -> None:
    done = local.ask("vector_store.alias=prod")
    assert known_aliases() in done.stderr
    local.run("promote", name := local.ingest(), "prod")
    done = local.ask("vector_store.alias=prd")
    assert done.returncode == 1
    assert known_aliases(f"prod ({name})") in done.stderr
    assert promote_command("NAME", "prd") in done.stderr


def test_ingest_never_goes_through_the_alias(local: Stand) -> None:
    first = local.ingest()
    local.run("promote", first, "prod")
    assert local.ingest(SMALL, "vector_store.alias=prod") != first
    assert len(local.names()) == 2
    done = local.ask("vector_store.alias=prod", "--ingest")
    assert done.returncode == 1
    assert no_ingest_with_alias("prod") in done.stderr


def test_index_that_an_alias_names_is_not_deleted_by_mistake(stand: Stand) -> None:
    name = stand.ingest()
    stand.run("promote", name, "prod")
    refused = stand.run("delete", name, "--yes")
    assert refused.returncode == 1
    assert named_by_aliases("prod") in refused.stderr
    assert stand.names() == [name]
    assert stand.json("delete", name, "--yes", "--with-aliases") == {"deleted": [name], "aliases": ["prod"]}
    assert stand.names() == []
    assert known_aliases() in stand.ask("vector_store.alias=prod").stderr


def test_damaged_index_can_be_deleted(local: Stand) -> None:
    name = local.ingest()
    (local.cwd / ".ragloom" / "lancedb" / name / "commits.json").write_text("[")
    assert "is damaged" in local.run("list").stderr
    assert local.run("delete", name, "--yes").returncode == 0
    assert local.names() == []


def test_prune_removes_what_no_config_and_no_alias_names(stand: Stand) -> None:
    kept, small, named, gone = stand.ingest(), stand.ingest(SMALL), stand.ingest("chunking=paragraph"), ""
    gone = stand.ingest("chunking.chunk_size=50", "chunking.chunk_overlap=0")
    stand.run("promote", named, "prod")
    everything = sorted([kept, small, named, gone])
    keep = ["--keep", "chunking.chunk_size=256,100"]
    asked = stand.run("prune", *keep)
    assert asked.returncode == 1
    assert gone in asked.stdout.replace("\n", "")
    assert not any(name in asked.stdout.replace("\n", "") for name in (kept, small, named))
    assert not_deleted(1) in asked.stderr
    assert stand.names() == everything
    done = stand.run("prune", *keep, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"kept": sorted([kept, small, named]), "unnamed": [gone], "deleted": []}
    assert stand.names() == everything
    assert stand.json("prune", *keep, "--yes")["deleted"] == [gone]
    assert stand.names() == sorted([kept, small, named])
    assert "nothing to prune" in stand.run("prune", *keep).stdout
    done = stand.run("prune", "--yes")  # without --keep: the config without further overrides
    assert f"deleted {small}" in done.stdout
    assert stand.names() == sorted([kept, named])


def test_prune_takes_several_configs_and_common_overrides(local: Stand) -> None:
    names = [local.ingest("chunking=paragraph", f"embedding.dimensions={n}") for n in (64, 128, 256, 512)]
    keep = ["--keep", "embedding.dimensions=64", "--keep", "'embedding.dimensions=128' retriever=bm25"]
    done = local.run("prune", "chunking=paragraph", *keep, "--yes")
    assert done.returncode == 0, done.stderr
    assert local.names() == sorted(names[:2])


def test_prune_asks_and_takes_yes_alone_for_an_answer(local: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("programs.io.StringIO", Terminal)
    names = sorted([local.ingest(), local.ingest(SMALL)])
    for answer in ("y\n", "no\n", "", "\n"):
        assert local.run("prune", stdin=answer).returncode == 1
        assert local.run("delete", names[0], stdin=answer).returncode == 1
        assert local.names() == names
    done = local.run("prune", stdin="yes\n")
    assert done.returncode == 0
    assert confirm_deletion(1) in done.stderr
    assert len(local.names()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chunking.chunk_size=77"], no_index_to_keep("sample-")),
        (["--keep", "chunking.chunk_size=77"], no_index_to_keep()),
        (["--keep", "chunking.chunk_size=range(60,400)"], too_many_combinations(340, 256)),
        (["--keep", "chunking.chunk_size=interval(60,400)"], "must list its values"),
        (["--keep", "vector_store.path=elsewhere"], store_of_command()),
        (["--keep", "vector_store=weaviate"], store_of_command()),
        (["--keep", "chunking=paragraf"], unknown_option("chunking=paragraf", "")),
        (["--keep", "'chunking=paragraph"], "must be overrides as a shell reads them"),
        (["--keep", "chunking"], no_key_value("chunking")),
        (["chunking=fixed,paragraph"], one_value("")),
    ],
)
def test_prune_that_may_not_know_what_to_keep_removes_nothing(local: Stand, arguments: list[str], message: str) -> None:
    name = local.ingest()
    done = local.run("prune", *arguments, "--yes")
    assert done.returncode == 1
    assert message in done.stderr
    assert local.names() == [name]


def test_prune_goes_on_when_one_index_is_being_written(local: Stand) -> None:
    from ragloom.assembly import Assembly
    from ragloom.config.config import load

    local.ingest()
    busy, gone = sorted([local.ingest(SMALL), local.ingest("chunking=paragraph")])
    (config,) = load([f"vector_store.path={local.cwd / '.ragloom' / 'lancedb'}"])
    with Assembly(config) as assembly:
        (info,) = [info for info in assembly.database.indexes() if info.name == busy]
        with assembly.database.writer(
            busy, dimensions=info.dimensions, description=info.description, root=info.root
        ) as writing:
            done = local.run("prune", "--yes")
            writing.commit({})
    assert done.returncode == 1
    assert being_written(busy, "") in done.stderr
    assert f"deleted {gone}" in done.stdout
    assert gone not in local.names()


@pytest.mark.weaviate
def test_everything_concerns_the_tenant_only(tmp_path: Path, weaviate_server: Any, prefix: str) -> None:
    acme, other = (
        Stand(tmp_path, weaviate_server.overrides(collection_prefix=prefix, tenant=tenant))
        for tenant in ("acme", "other")
    )
    name = acme.ingest()
    acme.run("promote", name, "prod")
    assert no_indexes("of tenant other ") in other.run("list").stdout
    assert known_aliases() in other.ask("vector_store.alias=prod").stderr
    assert other.run("delete", name, "--yes").returncode == 1
    assert other.ingest() == name
    small = acme.ingest(SMALL)
    assert other.names() == [name]
    assert acme.json("prune", "--keep", SMALL, "--yes")["deleted"] == []  # `prod` names the other one
    acme.run("promote", small, "prod")
    assert acme.json("prune", "--keep", SMALL, "--yes")["deleted"] == [name]
    assert other.names() == [name]
    assert json.loads(other.ask().stdout)["chunks"]
    refused = acme.run("prune", "--keep", "vector_store.tenant=other", "--yes")
    assert store_of_command() in refused.stderr
    assert other.json("rebuild", name)["version"] == 2
    assert acme.names() == [small]
