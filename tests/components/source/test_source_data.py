"""The loader test documents of ../shared/data/documents: measured against their ground truth."""

import re
from collections import Counter
from pathlib import Path

import pytest

from messages.source import encrypted, no_text_layer, run_ocr
from ragloom.components.source.base import CannotRead
from ragloom.core.records import Entry, Unreadable
from shared import SHARED, needs_data
from source_tools import folder

DOCUMENTS = SHARED / "data" / "documents"
pytestmark = [pytest.mark.data, needs_data("documents")]
MEASURED = [
    "docling_2305.03393v1-pg9.pdf",
    "docling_multi_page.pdf",
    "docling_wiki_duck.html",
    "docling_word_sample.docx",
    "mid_SPARSE_borderless_table.pdf",
]


@pytest.fixture(scope="module")
def read() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Texts, encodings and reasons, by id."""
    corpus = folder(DOCUMENTS)
    texts, encodings, reasons = {}, {}, {}
    for listed in corpus.entries():
        if isinstance(listed, Unreadable):
            reasons[Path(listed.location).name] = listed.reason
        elif isinstance(listed, Entry):
            try:
                document = corpus.parse(listed, corpus.read(listed))
                texts[listed.id], encodings[listed.id] = document.text, document.metadata.get("encoding", "")
            except CannotRead as error:
                reasons[listed.id] = error.reason
    return texts, encodings, reasons


def word_f1(text: str, truth: str) -> float:
    """Overlap of two multisets of words, 2 x common / (all of one + all of the other)."""
    words, expected = (Counter(re.findall(r"\w+", t.lower())) for t in (text, truth))
    return 2 * sum((words & expected).values()) / (sum(words.values()) + sum(expected.values()))


def without_link_targets(markdown: str) -> str:
    return re.sub(r"\]\((?:[^()\s]|\([^()]*\))*\)", "]", markdown)


def test_documents_are_all_in_but_the_encrypted_and_the_scanned_one(
    read: tuple[dict[str, str], dict[str, str], dict[str, str]],
) -> None:
    texts, _, reasons = read
    assert reasons == {
        "unst_password.pdf": encrypted(),
        "hs_non_text_searchable.pdf": "it has " + no_text_layer("only page has") + run_ocr(),
    }
    assert set(texts) | set(reasons) == {path.name for path in DOCUMENTS.iterdir()}
    assert len(texts["unst_failure-after-repair.pdf"].split("\f")) == 76  # readable, whatever its name says


@pytest.mark.parametrize("name", MEASURED)
def test_documents_word_f1_is_at_least_95_percent(
    name: str, read: tuple[dict[str, str], dict[str, str], dict[str, str]]
) -> None:
    truth = (DOCUMENTS / f"{name}.groundtruth.md").read_text(encoding="utf-8")
    assert word_f1(read[0][name], without_link_targets(truth)) >= 0.95


def test_documents_all_with_a_ground_truth_are_measured() -> None:
    with_truth = {path.name.removesuffix(".groundtruth.md") for path in DOCUMENTS.glob("*.groundtruth.md")}
    assert with_truth == set(MEASURED)


def cells(markdown: str) -> list[list[str]]:
    """The rows of all tables, without blank cells, separator lines, pictures and link targets."""
    lines = re.sub(r"<!--.*?-->", "", without_link_targets(markdown)).splitlines()
    rows = [line for line in lines if line.startswith("|") and not re.fullmatch(r"[|\s-]+", line)]
    return [re.findall(r"\w+", row.lower()) for row in rows]


@pytest.mark.parametrize("name", MEASURED)
def test_documents_table_rows_are_in_order(
    name: str, read: tuple[dict[str, str], dict[str, str], dict[str, str]]
) -> None:
    truth = (DOCUMENTS / f"{name}.groundtruth.md").read_text(encoding="utf-8")
    text = " ".join(re.findall(r"\w+", read[0][name].lower()))
    at = 0
    rows = cells(truth)
    if name.startswith("docling_2305"):  # its ground truth merges two rows of the page into one
        rows = [re.findall(r"\w+", f"{enc} OTSL {teds}".lower()) for enc, teds in _OTSL]
    for row in rows:
        if row[: len(row) // 2] == row[len(row) // 2 :]:  # it repeats a cell over two columns; a page shows it once
            row = row[: len(row) // 2]
        expected = " ".join(word for word in row if word not in ("edit", "this", "classification", "at", "wikidata"))
        at = text.find(expected, at)
        assert at >= 0, expected


_OTSL = [
    ("6 6", "0.965 0.934 0.955"),
    ("4 4", "0.938 0.904 0.927"),
    ("2 4", "0.923 0.897 0.915"),
    ("4 2", "0.952 0.92 0.942"),
]


@pytest.mark.parametrize("name", ["docling_wiki_duck.html", "docling_word_sample.docx"])
def test_documents_headings_are_those_of_the_ground_truth(
    name: str, read: tuple[dict[str, str], dict[str, str], dict[str, str]]
) -> None:
    truth = (DOCUMENTS / f"{name}.groundtruth.md").read_text(encoding="utf-8")
    assert re.findall(r"^#+ .*", read[0][name], re.MULTILINE) == re.findall(r"^#+ .*", truth, re.MULTILINE)


def test_documents_korean_pdf_and_non_utf8_file_have_their_words(
    read: tuple[dict[str, str], dict[str, str], dict[str, str]],
) -> None:
    texts, encodings, _ = read
    korean = texts["unst_korean-text-with-tables.pdf"]
    assert all(
        word in korean for word in ("적립 제외 대상", "빅포인트의 유효기간은 5년", "이마트 트레이더스", "뚜레쥬르")
    )
    assert texts["unst_umlauts-non-utf8.md"] == "## können\n\nkönnen\n\näöüß\n"
    assert encodings["unst_umlauts-non-utf8.md"] == "latin-1"


def test_documents_words_cut_at_line_ends_are_whole_again(
    read: tuple[dict[str, str], dict[str, str], dict[str, str]],
) -> None:
    assert "Effects of reducing" in read[0]["docling_2305.03393v1-pg9.pdf"]
    guide = read[0]["unst_failure-after-repair.pdf"]
    assert all(
        word in guide for word in ("endocrine therapy or hormone-blocking therapy", "raised cord-like structures")
    )
    assert not any(set(text) & set("\x02\ufffe\r\0") for text in read[0].values())
