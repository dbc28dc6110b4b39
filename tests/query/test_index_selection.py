"""Which index answers: never that of another folder, an empty one by name, an older one with a line that says so."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

import run_folders
from messages import wording
from messages.cli import fewer_without_source, left_out, not_read, read_documents_needed
from messages.comparison import place_of_documents
from messages.vector_store import empty_index
from programs import Done, run
from ragloom.assembly import Assembly
from ragloom.components.vector_store.record_types import IndexMissing
from ragloom.config.config import load
from ragloom.errors import ConfigError, DataError

TEXTS = {"a": "The chain is oiled once a month.", "b": "The chain is oiled every second day."}


class Shop:
    """Two folders of the same last name, one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in TEXTS.items():
            self.write(name, "care.txt", text)

    def write(self, name: str, file: str, text: str) -> Path:
        folder = self.root / name / "docs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
        return folder

    def run(self, script: str, *arguments: str, path: str | Path | None = None) -> Done:
        source = [] if path is None else ["source=folder", f'source.path="{path}"']
        return run(script, *arguments, *source, "workers.processes=0", cwd=self.root)

    def ingest(self, path: str | Path, *overrides: str) -> Done:
        return self.run("ingest", *overrides, path=path)

    def ask(self, path: str | Path | None, *overrides: str) -> Done:
        return self.run("run_query", "how often is the chain oiled?", *overrides, path=path)

    def assembly(self, path: str | Path, *overrides: str) -> Assembly:
        source = ["source=folder", f'source.path="{path}"', "workers.processes=0"]
        (config,) = load([*source, f'vector_store.path="{self.root / ".ragloom" / "lancedb"}"', *overrides])
        return Assembly(config)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.assembly(tmp_path / "a" / "docs").ingest()
    return made


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that no test changes."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.assembly(made.root / "a" / "docs").ingest()
    return made


def demand_refused(done: Done) -> None:
    assert done.returncode == 1
    assert "source.moved=true" in done.stderr
    assert "vector_store.alias=NAME" in done.stderr
    assert "Traceback" not in done.stderr
    assert TEXTS["a"] not in done.stdout


@pytest.mark.parametrize("overrides", [(), ("source.name=docs",)], ids=["by default", "named"])
@pytest.mark.parametrize("path", ["b/docs", "nowhere/docs", "a/docs/docs"])
def test_query_of_another_folder_of_the_same_name_is_refused(
    standing: Shop, path: str, overrides: tuple[str, ...]
) -> None:
    demand_refused(standing.ask(path, *overrides))


def test_query_of_any_folder_with_the_same_name_set_is_refused(standing: Shop) -> None:
    demand_refused(standing.ask("b", "source.name=docs"))


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("ingest", ()),
        ("ingest", ("dry_run=true",)),
        ("ingest", ("chunking=paragraph",)),
        ("evaluate", ("dataset=jsonl", "dataset.path=questions.jsonl", "ingest=never")),
        ("evaluate", ("dataset=jsonl", "dataset.path=questions.jsonl")),
    ],
)
def test_other_verbs_refuse_it_too(standing: Shop, script: str, arguments: tuple[str, ...]) -> None:
    line = '{"id": "q", "question": "how often?", "gold": [{"document": "care.txt", "quote": "once a month"}]}'
    (standing.root / "questions.jsonl").write_text(line, encoding="utf-8")
    demand_refused(standing.run(script, *arguments, path="b/docs"))


@pytest.mark.parametrize("verb", ["rebuild", "compare", "promote"])
@pytest.mark.slow
def test_verbs_of_an_index_refuse_a_source_that_is_not_its_own(shop: Shop, verb: str) -> None:
    name = shop.assembly(shop.root / "a/docs").index_name
    arguments = {"rebuild": [name], "compare": [name, name], "promote": [name, "live"]}[verb]
    demand_refused(shop.run("indexes", verb, *arguments, path="b/docs"))
    assert fewer_without_source() in shop.run("indexes", verb, *arguments, path="b").stderr
    assert shop.run("indexes", verb, *arguments, path="a/docs").returncode == 0
    assert shop.run("indexes", verb, *arguments).returncode == 0


def test_ways_to_write_the_same_folder_are_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root)
    (shop.root / "link").symlink_to("a")
    (shop.root / "other name").symlink_to(shop.root / "a" / "docs")
    ways = ["a/docs/", "./a/docs", "b/../a/docs", "a/docs/../docs", "link/docs", "a//docs", "other name"]
    for way in [*ways, shop.root / "a" / "docs"]:
        assert shop.assembly(way).open().document("care.txt").text == TEXTS["a"], way


def test_link_that_leads_elsewhere_later_is_another_folder(shop: Shop) -> None:
    link = shop.root / "current"
    link.symlink_to(shop.root / "a" / "docs")
    shop.assembly(link).open()
    link.unlink()
    link.symlink_to(shop.root / "b" / "docs")
    with pytest.raises(ConfigError, match=r"source\.moved=true"):
        shop.assembly(link).open()


@pytest.mark.slow
def test_names_that_differ_in_case_or_normal_form_are_two_corpora(shop: Shop) -> None:
    names = ("Docs", unicodedata.normalize("NFC", "dóc"), unicodedata.normalize("NFD", "dóc"))
    for number, name in enumerate(names):
        try:
            (shop.root / name).mkdir()
        except FileExistsError:
            pytest.skip("this file system does not tell the names apart")
        with pytest.raises(IndexMissing):  # none yet, and none that is taken for it
            shop.assembly(shop.root / name).open()
        (shop.root / name / "care.txt").write_text(f"It is number {number}.", encoding="utf-8")
        shop.assembly(shop.root / name).ingest()
    for number, name in enumerate(names):
        assert shop.assembly(shop.root / name).open().document("care.txt").text == f"It is number {number}."


def test_printed_form_of_a_name_is_not_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a blank that is not printable was stored as its escape, which is another folder's name."""
    for name, text in (("x\u3000y", TEXTS["a"]), ("x\\u3000y", TEXTS["b"])):
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "care.txt").write_text(text, encoding="utf-8")
    shop = Shop(tmp_path)
    assert shop.assembly(tmp_path / "x\u3000y" / "docs").ingest().complete
    # The command line refuses such an escape: the name comes from the folder that the program stands in.
    monkeypatch.chdir(tmp_path / "x\\u3000y")
    with pytest.raises(ConfigError, match=r"source\.moved=true"):
        shop.assembly(Path("docs")).open()


@pytest.mark.slow
def test_moved_folder_is_taken_over_and_costs_nothing(shop: Shop) -> None:
    shop.write("a", "more.txt", "A second document.")
    assert shop.ingest("a/docs").returncode == 0
    shutil.move(shop.root / "a" / "docs", shop.root / "c" / "docs")
    demand_refused(shop.ingest("c/docs"))
    summary = shop.ingest("c/docs", "source.moved=true", "output=json").summary
    assert (summary["unchanged"], summary["embedded"], summary["deleted"]) == (2, 0, 0)
    assert str(shop.root / "c" / "docs") in summary["notes"][0]
    assert TEXTS["a"] in shop.ask("c/docs").stdout
    demand_refused(shop.ask("a/docs"))
    assert shop.ingest("c/docs").returncode == 0


def test_renamed_folder_is_taken_over_by_its_former_name(shop: Shop) -> None:
    (shop.root / "a" / "docs").rename(shop.root / "a" / "manuals")
    assert "source.name: manuals / docs" in shop.ask("a/manuals").stderr
    summary = shop.ingest("a/manuals", "source.name=docs", "source.moved=true", "output=json").summary
    assert (summary["unchanged"], summary["embedded"]) == (1, 0)
    assert TEXTS["a"] in shop.ask("a/manuals", "source.name=docs").stdout


@pytest.mark.slow
def test_documents_of_a_moved_folder_are_compared_by_content(shop: Shop) -> None:
    """Equal sizes and times prove something of one file, and nothing of two."""
    text = TEXTS["a"].replace("month", "WEEK!")
    folder = shop.write("c", "care.txt", text)
    status = (shop.root / "a" / "docs" / "care.txt").stat()
    os.utime(folder / "care.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(text) == len(TEXTS["a"])
    summary = shop.ingest("c/docs", "source.moved=true", "output=json").summary
    assert (summary["changed"], summary["unchanged"]) == (1, 0)
    assert text in shop.ask("c/docs").stdout


def test_dry_run_of_a_move_says_what_it_would_do_and_moves_nothing(shop: Shop) -> None:
    shutil.copytree(shop.root / "a", shop.root / "c")
    estimate = shop.assembly(shop.root / "c" / "docs", "source.moved=true").rehearse()
    assert (estimate.summary.unchanged, estimate.tokens) == (1, 0)
    demand_refused(shop.ask("c/docs"))


@pytest.mark.slow
def test_move_of_one_index_leaves_its_siblings_to_their_own(shop: Shop) -> None:
    assert shop.ingest("a/docs", "chunking=paragraph").returncode == 0
    shutil.move(shop.root / "a" / "docs", shop.root / "c" / "docs")
    assert shop.ingest("c/docs", "source.moved=true").returncode == 0
    assert shop.ingest("c/docs").returncode == 0
    assert shop.ingest("c/docs", "chunking.chunk_size=100").returncode == 0
    demand_refused(shop.ask("c/docs", "chunking=paragraph"))
    demand_refused(shop.ingest("c/docs", "chunking=paragraph"))
    assert shop.ingest("c/docs", "chunking=paragraph", "source.moved=true").returncode == 0


def test_alias_says_which_index_is_meant_wherever_its_documents_are(shop: Shop) -> None:
    name = shop.assembly(shop.root / "a/docs").index_name
    assert shop.run("indexes", "promote", name, "live").returncode == 0
    for path in ("b/docs", "nowhere", None):
        assert TEXTS["a"] in shop.ask(path, "vector_store.alias=live").stdout


@pytest.mark.slow
def test_file_of_lines_is_told_from_another_of_the_same_name(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for name, text in TEXTS.items():
        (tmp_path / name / "lines.jsonl").write_text(f'{{"id": "care", "text": "{text}"}}\n', encoding="utf-8")
    lines = ["source=jsonl", "workers.processes=0"]
    assert run("ingest", *lines, "source.path=a/lines.jsonl", cwd=tmp_path).returncode == 0
    demand_refused(run("run_query", "chain?", *lines, "source.path=b/lines.jsonl", cwd=tmp_path))
    demand_refused(run("run_query", "chain?", *lines, "source.path=nowhere/lines.jsonl", cwd=tmp_path))
    assert run("run_query", "chain?", *lines, "source.path=b/../a/lines.jsonl", cwd=tmp_path).returncode == 0
    moved = run("ingest", *lines, "source.path=b/lines.jsonl", "source.moved=true", cwd=tmp_path)
    assert moved.returncode == 0, moved.stderr
    assert shop.root == tmp_path


def test_key_that_moves_is_part_of_no_name(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    plain, moved = (shop.assembly(tmp_path / "a/docs", *extra) for extra in ((), ("source.moved=true",)))
    assert plain.index_name == moved.index_name
    assert "moved" not in plain.config.public()["source"]


@pytest.mark.slow
def test_empty_index_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    """An interrupted first ingest commits what it had: nothing."""
    shop = Shop(tmp_path)
    assert shop.assembly(tmp_path / "a/docs").ingest(stop=lambda: True).stopped
    for way in (shop.ask("a/docs"), shop.run("evaluate", "ingest=never", path="a/docs")):
        assert way.returncode == 1
        assert empty_index() in way.stderr
    assert "ingest.py source=folder 'source.path=\"a/docs\"'" in shop.ask("a/docs").stderr
    assert shop.ingest("a/docs").returncode == 0
    assert TEXTS["a"] in shop.ask("a/docs").stdout


def test_empty_index_of_an_alias_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assembly = shop.assembly(tmp_path / "a/docs")
    assembly.ingest(stop=lambda: True)
    assembly.database.promote(assembly.index_name, "live")
    assert "is empty" in shop.ask(None, "vector_store.alias=live").stderr


@pytest.mark.parametrize("arguments", [(), ("dry_run=true",)], ids=["ingest", "dry run"])
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "it is empty"),
        ({".hidden.txt": b"x", "b.xyz": b"x"}, left_out(2)),
    ],
    ids=["empty", "no reader"],
)
def test_source_without_a_document_is_an_error_and_makes_no_index(
    tmp_path: Path, files: dict[str, bytes], reason: str, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "docs").mkdir()
    for name, content in files.items():
        (tmp_path / "docs" / name).write_bytes(content)
    done = Shop(tmp_path).run("ingest", *arguments, path="docs")
    assert done.returncode == 1
    assert read_documents_needed() in done.stderr
    assert reason in done.stderr
    assert not list((tmp_path / ".ragloom" / "lancedb").glob("docs-*"))


@pytest.mark.slow
def test_source_of_which_no_file_can_be_read_is_an_error_and_makes_no_index(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "docs" / "b.txt").write_bytes(b"")
    shop = Shop(tmp_path)
    done = shop.ingest("docs")
    assert done.returncode == 1
    assert not_read(2) in done.stderr
    assert not list((tmp_path / ".ragloom" / "lancedb").glob("docs-*"))
    (tmp_path / "docs" / "b.txt").write_text("Now it says something.", encoding="utf-8")
    assert shop.ingest("docs").returncode == 3
    assert shop.assembly(tmp_path / "docs").open().document("b.txt").text == "Now it says something."


def test_runs_over_other_documents_of_one_config_are_not_compared(tmp_path: Path) -> None:
    """A relative path leads to another folder from another place."""
    from ragloom.comparison.run_loader import demand_comparable, load_run

    def ran(name: str, root: str, texts: str) -> Path:
        index = {"name": "docs-1", "fingerprint": "f", "searched": "ids", "root": root, "texts": texts}
        overrides = ["source=folder", "source.path=docs"]
        return run_folders.write(tmp_path / name, [1.0, 0.0], *overrides, index=index)

    first, moved = ran("first", "/a/docs", "t1"), ran("moved", "/c/docs", "t1")
    other, edited = ran("other", "/b/docs", "t2"), ran("edited", "/a/docs", "t3")
    demand_comparable([load_run(first), load_run(moved), load_run(edited)])
    with pytest.raises(DataError, match=wording(place_of_documents("/b/docs", "/a/docs"))):
        demand_comparable([load_run(first), load_run(other)])


def test_evaluation_moves_an_index_there_and_back(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "care.txt").write_text("The chain is oiled once a month.", encoding="utf-8")
    line = {"id": "q", "question": "How often?", "gold": [{"document": "care.txt", "quote": "once a month"}]}
    (tmp_path / "q.jsonl").write_text(json.dumps(line), encoding="utf-8")
    questions = ["dataset=jsonl", "dataset.path=q.jsonl", "source=folder", "workers.processes=0"]
    for place in ("a", "b", "a", "b"):
        moved = [] if place == "a" and not (tmp_path / ".ragloom").exists() else ["source.moved=true"]
        done = run("evaluate", *questions, f"source.path={place}/docs", *moved, cwd=tmp_path)
        assert done.returncode == 0, (place, done.stderr)
