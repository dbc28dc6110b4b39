"""Citations: what is read from a reply, and what verified means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.core.records import Chunk
from ragloom.query.citations import locate, verify
from ragloom.query.citations.citation_forms import read

TEXT = "Intro.\nThe warranty lasts\ntwo years [2]. 보증 기간은 2년입니다. 보증 기간은 2년입니다."


def chunk(start: int, end: int, *, document: str = "a.md", text: str | None = None) -> Chunk:
    return Chunk("id", document, "hash", start, end, TEXT[start:end] if text is None else text)


def stored(document: str) -> str | None:
    return {"a.md": TEXT}.get(document)


def test_quote_is_verified_at_its_characters_in_the_stored_document() -> None:
    reply = 'It lasts two years [1].\n\n[1] "The warranty lasts two years [2]."'
    cited = verify(reply, [chunk(7, len(TEXT))], stored)
    assert cited.answer == "It lasts two years [1]."
    (citation,) = cited.citations
    assert citation.verified
    assert citation.document == "a.md"
    assert citation.quote == TEXT[citation.start : citation.end] == "The warranty lasts\ntwo years [2]."


def test_quote_is_looked_for_inside_the_chunk_only() -> None:
    second = TEXT.rindex("보증")
    cited = verify('2년 [1]\n\n[1] "보증 기간은 2년입니다."', [chunk(second, len(TEXT))], stored)
    assert cited.citations[0].start == second  # not the first occurrence, which is outside the chunk
    before = verify('x [1]\n\n[1] "Intro."', [chunk(7, len(TEXT))], stored)
    assert not before.citations[0].verified


def test_quote_that_begins_where_the_chunk_ends_is_not_in_it() -> None:
    text = "one two three"
    assert locate("two", Chunk("i", "d", "h", 0, 4, text[:4]), text) is None
    assert locate("two", Chunk("i", "d", "h", 7, 13, text[7:]), text) is None
    assert locate("two", Chunk("i", "d", "h", 0, 5, text[:5]), text) == (4, 7)  # across the border
    assert locate("two", Chunk("i", "d", "h", 6, 13, text[6:]), text) == (4, 7)


def test_invented_quote_is_not_verified() -> None:
    (citation,) = verify('x [1]\n\n[1] "The warranty lasts ten years"', [chunk(0, len(TEXT))], stored).citations
    assert not citation.verified
    assert citation.start is None
    assert citation.quote == "The warranty lasts ten years"


def test_number_that_was_not_supplied_is_not_verified() -> None:
    (citation,) = verify('x [7]\n\n[7] "The warranty lasts"', [chunk(0, len(TEXT))], stored).citations
    assert not citation.verified
    assert citation.document is None
    (zero,) = verify('x\n\n[0] "The warranty lasts"', [chunk(0, len(TEXT))], stored).citations
    assert not zero.verified


def test_corrupted_offset_is_not_verified() -> None:
    moved = chunk(0, len(TEXT) - 7, text=TEXT[7:])  # not where the text came from, though the quote stands there too
    (citation,) = verify('x [1]\n\n[1] "The warranty lasts two years"', [moved], stored).citations
    assert not citation.verified


def test_document_that_is_gone_is_not_verified() -> None:
    (citation,) = verify('x [1]\n\n[1] "Intro."', [chunk(0, 6, document="gone.md")], stored).citations
    assert not citation.verified


def test_mark_without_a_quote_is_a_citation_that_is_not_verified() -> None:
    (citation,) = verify("It lasts two years [1].", [chunk(0, len(TEXT))], stored).citations
    assert (citation.number, citation.quote, citation.verified) == (1, "", False)


def test_marks_inside_quoted_words_cite_nothing() -> None:
    answer, pairs = read('The warranty lasts two years [2]. [1]\n\n[1] "The warranty lasts two years [2]."')
    assert pairs == [(1, "The warranty lasts two years [2].")]
    assert answer.endswith("[1]")


@pytest.mark.parametrize(
    "line",
    [
        '[1] "two years"',
        '- [1]: "two years"',
        "[1] “two years”",
        "[1] 「two years」",
        '  [1] "two years"  ',
        '**[1]** "two years"',
        '1. [1] "two years".',
        "[1] 'two years',",
    ],
)
def test_quote_lines_are_read_in_the_forms_that_models_write(line: str) -> None:
    assert read(f"Two. [1]\n\nQuotes:\n{line}") == ("Two. [1]", [(1, "two years")])


def test_quote_does_not_begin_or_end_inside_a_number_or_word() -> None:
    text = "It lasts 15 years."
    assert locate("5 years", Chunk("i", "d", "h", 0, len(text), text), text) is None
    assert locate("15 year", Chunk("i", "d", "h", 0, len(text), text), text) is None
    assert locate("15 years", Chunk("i", "d", "h", 0, len(text), text), text) == (9, 17)


def test_line_that_says_sources_stays_where_no_quotes_follow() -> None:
    assert read("Two things matter.\n\nSources\n\nand sinks.")[0] == "Two things matter.\n\nSources\n\nand sinks."


def test_absurd_number_cites_nothing() -> None:
    assert read(f"See [{'9' * 5000}].")[1] == []


def test_several_marks_in_one_bracket_are_several_citations() -> None:
    assert read("It is so [1, 3].")[1] == [(1, ""), (3, "")]


def test_quote_without_a_letter_or_digit_says_nothing() -> None:
    assert locate(".", chunk(0, len(TEXT)), TEXT) is None
    assert locate("", chunk(0, len(TEXT)), TEXT) is None


@given(
    st.text("ab 가나\n.[]()*+?\\", min_size=1, max_size=60),
    st.data(),
)
def test_every_verbatim_quote_of_a_chunk_is_found_inside_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first = data.draw(st.integers(start, end))
    last = data.draw(st.integers(first, end))
    quote = text[first:last]
    span = locate(quote, Chunk("i", "d", "h", start, end, text[start:end]), text)
    cut = any(
        first_inside and text[at - 1 : at + 1].isascii() and text[at - 1 : at + 1].isalnum() and 0 < at < len(text)
        for at, first_inside in ((first + len(quote) - len(quote.lstrip()), True), (first + len(quote.rstrip()), True))
    )
    if any(map(str.isalnum, quote)) and not cut:
        assert span is not None
        assert start <= span[0] < span[1] <= end
        assert text[slice(*span)].split() == quote.split()
    elif not any(map(str.isalnum, quote)):
        assert span is None
