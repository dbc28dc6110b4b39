"""What the `source` group promises as a whole: options, sample, LlamaIndex, stored outputs."""

import json
from pathlib import Path

import pytest

from made import make
from messages import wording
from messages.source import name_needed, nothing_in_it, pattern_below_path
from places import SAMPLE, TESTS
from ragloom.components import source
from ragloom.components.source.base import CannotRead, Source
from ragloom.config.key_rules import key_problems
from ragloom.core.records import FORMAT_KEY, Entry, Skipped, Unreadable, canonical_json, sha256
from ragloom.errors import ConfigError, DataError
from source_files import docx_bytes, pdf_bytes
from source_tools import documents, folder

GOLDEN = TESTS / "golden" / "source.json"


def made_files(root: Path) -> None:
    files: dict[str, bytes] = {
        "a.txt": "첫째 줄\r\n둘째 줄\r\n".encode("cp949"),
        "b.md": "\ufeff# Title\n\ntext\0 and\x0cmore\n".encode(),
        "c.html": "<h1>제목</h1><p>a<br>b<ul><li>x<li>y</ul><table><tr><td>1<td>2<tr><td>3<td>4</table>".encode(),
        "d.pdf": pdf_bytes([["Hello PDF"], ["Second page"]]),
        "e.docx": docx_bytes("<w:p><w:r><w:t>Hello DOCX</w:t></w:r></w:p>"),
        "sub/f.csv": b"name;price\nbike;12\nbell;3\n",
        "sub/g.json": b'{"a": [1, {"b": 2.50}], "c": null}',
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def made_source(option: str, root: Path) -> Source:
    """Build a source of each option, with its own files."""
    if option == "folder":
        made_files(root)
        return folder(root)
    if option == "spans":
        made_files(root / "corpora")
        return make("source", "spans", path=str(root), corpora="corpora")
    if option == "jsonl":
        lines = [{"id": "ä", "text": "x\r\ny", "metadata": {"n": 1}}, {"id": 2, "text": "두 번째"}]
        (root / "a.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return make("source", "jsonl", path=str(root / "a.jsonl"))
    if option == "beir":
        lines = [{"_id": "1", "title": "제목", "text": "x\r\ny"}, {"_id": "2", "title": "", "text": "z"}]
        (root / "corpus.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return make("source", "beir", path=str(root))
    if option == "squad":
        paragraphs = [{"context": "첫째\r\n줄", "qas": []}, {"context": "둘째", "qas": []}]
        (root / "a.json").write_text(json.dumps({"data": [{"title": "제목", "paragraphs": paragraphs}]}))
        return make("source", "squad", path=str(root / "a.json"), document="article", max_file_mb=1.0)
    return make("source", "sample")


@pytest.mark.parametrize("option", ["sample", "folder", "jsonl", "spans", "beir", "squad"])
def test_source_output_is_bound_to_its_code_version(option: str, tmp_path: Path) -> None:
    """Raise the builder's code_version when this fails on purpose: indexes made before must not be mistaken for new."""
    corpus = made_source(option, tmp_path)
    result = {"code_version": getattr(source, option).code_version, "digest": sha256(canonical_json(documents(corpus)))}
    assert result == json.loads(GOLDEN.read_text(encoding="utf-8"))[option]


def test_sample_is_nine_korean_and_english_documents_with_all_that_is_hard() -> None:
    corpus = make("source", "sample")
    result = documents(corpus)
    texts = {id: text for id, (text, _) in result.items()}
    assert (corpus.name, corpus.root) == ("sample", "ragloom:sample")
    assert list(result) == sorted(result)
    assert len(result) == 9
    assert {metadata[FORMAT_KEY] for _, metadata in result.values()} == {"markdown", "html", "text", "csv", "json"}
    assert "\u200d" in texts["ko/safety.md"]  # an emoji with joiners
    raw = (SAMPLE / "en" / "refunds.txt").read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") > 5  # git must not have changed it: see .gitattributes
    assert "\r" not in texts["en/refunds.txt"]
    repeated = "Questions? Call the Moonlight desk at 1588-0000 on weekdays from 9:00 to 18:00."
    assert texts["en/refunds.txt"].count(repeated) == 2
    assert texts["en/warranty.md"].count(repeated) == 1
    assert "| 서울 성수점 | 11:00–21:00 | 11:00–19:00 |" in texts["ko/opening-hours.html"]
    assert "대여소: 서울숲 입구\n자전거 수: 24" in texts["ko/stations.json"]


def test_sample_entries_have_no_time_since_all_wheels_stamp_their_files_alike() -> None:
    assert all(isinstance(e, Entry) and e.mtime_ns is None for e in make("source", "sample").entries())


def test_source_is_a_llama_index_reader_that_raises_at_the_first_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("readable", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"")
    loaded = folder(tmp_path).lazy_load_data()
    first = next(iter(loaded))
    assert (first.id_, first.text) == ("a.txt", "readable")
    with pytest.raises(DataError, match=wording("b.txt: " + nothing_in_it())):
        next(iter(loaded))
    assert len(make("source", "sample").load_data()) == 9


def test_source_document_metadata_is_not_what_plain_llama_index_embeds() -> None:
    """TRAPS 36: `metadata + text` is what LlamaIndex embeds, unless the keys are excluded."""
    from llama_index.core.schema import MetadataMode

    document = make("source", "sample").load_data()[0]
    assert document.metadata
    assert document.get_content(MetadataMode.EMBED) == document.text == document.get_content(MetadataMode.LLM)


def test_folder_touched_file_gives_an_equal_document(tmp_path: Path) -> None:
    """TRAPS 35: dates and sizes in the metadata change a document's hash, and a `touch` re-embeds it."""
    import os

    (tmp_path / "a.txt").write_text("same", encoding="utf-8")
    before = folder(tmp_path).load_data()[0]
    os.utime(tmp_path / "a.txt", (1, 1))
    after = folder(tmp_path).load_data()[0]
    assert before.hash == after.hash
    assert set(after.metadata) == {FORMAT_KEY, "encoding"}


def test_folder_ids_are_relative_and_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    """TRAPS 35: absolute paths or random ids make another corpus of each copy."""
    for place in ("one", "two/deeper"):
        (tmp_path / place / "문서").mkdir(parents=True)
        (tmp_path / place / "문서" / "a.txt").write_text("x", encoding="utf-8")
    ids = [[d.id_ for d in folder(tmp_path / place).load_data()] for place in ("one", "two/deeper")]
    assert ids == [["문서/a.txt"], ["문서/a.txt"]]


def test_folder_of_broken_files_names_each_and_reads_the_rest(tmp_path: Path) -> None:
    """TRAPS 35: a broken PDF must never be indexed as its raw bytes, nor Korean as dropped ones."""
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "good.txt").write_bytes("한글 문서".encode("cp949"))
    corpus = folder(tmp_path)
    entries = [e for e in corpus.entries() if isinstance(e, Entry)]
    with pytest.raises(CannotRead, match="damaged PDF"):
        corpus.parse(entries[0], corpus.read(entries[0]))
    document = corpus.parse(entries[1], corpus.read(entries[1]))
    assert (document.text, document.metadata["encoding"]) == ("한글 문서", "cp949")


@pytest.mark.parametrize("name", ["with blank, comma", 'it\'s "quoted"', "한글 폴더", "a=b&c#d(e)", "[x] {y} *"])
def test_folder_path_may_have_blanks_quotes_commas_and_korean(name: str, tmp_path: Path) -> None:
    """TRAPS 28: such paths break Hydra's grammar; here they are ordinary."""
    (tmp_path / name / name).mkdir(parents=True)
    (tmp_path / name / name / f"{name}.txt").write_text("x", encoding="utf-8")
    corpus = folder(tmp_path / name)
    assert (corpus.name, [d.id_ for d in corpus.load_data()]) == (name, [f"{name}/{name}.txt"])


@pytest.mark.parametrize("pattern", ["/etc/*", "../x", "a//b", "./a", "a\\*.md", "a/"])
def test_folder_pattern_that_can_match_nothing_is_a_config_error(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        folder(tmp_path, include=[pattern], exclude=["ok/**", pattern])
    assert [p.partition("=")[0] for p in caught.value.problems] == ["source: include", "source: exclude"]
    assert all(pattern_below_path() in p for p in caught.value.problems)


def test_folder_without_a_name_of_its_own_must_be_named() -> None:
    keys = {"path": "/", "include": ["**"], "exclude": []}
    assert key_problems(source.folder, {"name": None, **keys}) == [name_needed("/")]
    assert key_problems(source.folder, {"name": "disk", **keys}) == []


@pytest.mark.parametrize(("name", "problem"), [("missing", "does not exist"), ("file.txt", "is a file, not a folder")])
def test_folder_whose_root_cannot_be_listed_is_a_data_error(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=f"{name}.*{problem}"):
        list(folder(tmp_path / name).entries())


def test_source_reports_are_of_three_kinds_only(tmp_path: Path) -> None:
    made_files(tmp_path)
    (tmp_path / ".hidden").write_text("x", encoding="utf-8")
    assert {type(e) for e in folder(tmp_path).entries()} <= {Entry, Unreadable, Skipped}


def test_long_reason_keeps_its_ends_on_one_line() -> None:
    reason = CannotRead("a" * 300 + "b" * 500 + "\n" + "c" * 98).reason
    assert reason == "a" * 300 + " … " + "\\n" + "c" * 98


def test_text_of_a_file_is_bounded_by_the_size_of_files(tmp_path: Path) -> None:
    header = "h" * 197
    for rows, name in ((19, "good.csv"), (20, "long.csv")):  # each row becomes 200 characters and a blank line
        (tmp_path / name).write_text("\n".join([header, *"x" * rows]))
    corpus = folder(tmp_path, max_file_mb=0.001)
    good, long = (entry for entry in corpus.entries() if isinstance(entry, Entry))
    assert len(corpus.parse(good, corpus.read(good)).text) == 19 * 202 - 2
    with pytest.raises(CannotRead, match=r"4 times source\.max_file_mb=0\.001"):
        corpus.parse(long, corpus.read(long))
