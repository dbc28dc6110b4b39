import pytest
from hypothesis import given, settings

from chunkers import FORMATS, TEXTS
from ragloom.core.outline import Outline

MARKDOWN = """Before any heading.

# Guide #

Text of the guide.
continued # no heading

## Install `pip` ##
### Linux
```sh
# a comment, no heading

apt install
```
## 사용법

| key | value |
|-----|-------|
| a   | 1     |
After the table.

Setext
======

Under it
--------
- item
---
"""


def _blocks(text: str, format: str | None) -> list[tuple[str, str]]:
    return [(block.kind, text[block.start : block.end]) for block in Outline(text, format).blocks()]


def _heading_of(part: str, format: str | None = "markdown") -> str | None:
    return Outline(MARKDOWN, format).heading_at(MARKDOWN.index(part))


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("Before any", None),
        ("# Guide", "Guide"),
        ("Text of the guide", "Guide"),
        ("continued # no", "Guide"),
        ("## Install", "Guide > Install `pip`"),
        ("### Linux", "Guide > Install `pip` > Linux"),
        ("# a comment", "Guide > Install `pip` > Linux"),
        ("apt install", "Guide > Install `pip` > Linux"),
        ("## 사용법", "Guide > 사용법"),
        ("| a ", "Guide > 사용법"),
        ("Setext", "Setext"),
        ("======", "Setext"),
        ("- item", "Setext > Under it"),
    ],
)
def test_heading_path_of_each_line(part: str, path: str | None) -> None:
    assert _heading_of(part) == path


@pytest.mark.parametrize("format", [None, "text", "pdf", "csv", "json"])
def test_formats_without_headings_have_none(format: str | None) -> None:
    assert _heading_of("Text of the guide", format) is None


@pytest.mark.parametrize("format", ["html", "docx"])
def test_rendered_formats_have_atx_headings_only(format: str) -> None:
    assert _heading_of("Text of the guide", format) == "Guide"
    assert _heading_of("- item", format) == "Guide > 사용법"


def test_a_heading_without_a_title_opens_no_section() -> None:
    text = "# A\n#\n##   ##\ntext"
    assert Outline(text, "markdown").heading_at(len(text) - 1) == "A"


def test_a_deeper_heading_after_a_skipped_level_stands_under_the_last_one() -> None:
    text = "# A\n### C\n## B\nx"
    outline = Outline(text, "markdown")
    assert outline.heading_at(text.index("### C")) == "A > C"
    assert outline.heading_at(len(text) - 1) == "A > B"


@pytest.mark.parametrize("line", ["#no blank", "####### seven", "    # indented code", "\\# escaped", "text # inside"])
def test_what_only_looks_like_a_heading_is_none(line: str) -> None:
    assert Outline(f"{line}\n\nx", "markdown").heading_at(0) is None


def test_headings_have_crlf_line_ends_too() -> None:
    text = "# A\r\n\r\ntext\r\n\r\n## B #\r\n"
    assert Outline(text, "markdown").heading_at(len(text) - 3) == "A > B"
    assert _blocks(text, "markdown") == [("heading", "# A"), ("text", "text"), ("heading", "## B #")]


def test_blocks_of_markdown() -> None:
    assert _blocks(MARKDOWN, "markdown") == [
        ("text", "Before any heading."),
        ("heading", "# Guide #"),
        ("text", "Text of the guide.\ncontinued # no heading"),
        ("heading", "## Install `pip` ##"),
        ("heading", "### Linux"),
        ("code", "```sh\n# a comment, no heading\n\napt install\n```"),
        ("heading", "## 사용법"),
        ("table", "| key | value |\n|-----|-------|\n| a   | 1     |"),
        ("text", "After the table."),
        ("heading", "Setext\n======"),
        ("heading", "Under it\n--------"),
        ("text", "- item\n---"),
    ]


def test_a_table_needs_neither_outer_bars_nor_a_rule() -> None:
    assert _blocks("a | b\n--|--\n1 | 2\n\nx", "markdown")[0] == ("table", "a | b\n--|--\n1 | 2")
    assert _blocks("| a | b |\n| 1 | 2 |\n\nx", "html")[0] == ("table", "| a | b |\n| 1 | 2 |")


def test_a_longer_fence_holds_a_shorter_one_and_an_unclosed_one_runs_to_the_end() -> None:
    assert _blocks("````\n```\n# x\n```\n````\n# y", "markdown") == [
        ("code", "````\n```\n# x\n```\n````"),
        ("heading", "# y"),
    ]
    for format in ("markdown", "html"):  # by CommonMark, and by the rules of `MarkdownWriter`
        assert _blocks("~~~\n# x\n\ny\n\n", format) == [("code", "~~~\n# x\n\ny")]


@pytest.mark.parametrize("format", ["markdown", "html"])
def test_a_title_has_at_most_300_characters(format: str) -> None:
    whole, long = "x" * 300, "x" * 298 + " yz"
    titles = [block.title for block in Outline(f"# {whole}\n\n## {long}", format).blocks()]
    assert titles == [whole, "x" * 298 + "…"]  # 299 characters without the blank at the end


def test_blocks_of_plain_text_are_paragraphs() -> None:
    text = "\n\n  one\ntwo  \n \t\n# three\r\n\r\nfour\ffive\n"
    expected = ["  one\ntwo", "# three", "four", "five"]
    assert _blocks(text, None) == [("text", paragraph) for paragraph in expected]


def test_rows_of_csv_and_json_are_kept_by_line() -> None:
    assert _blocks("a: 1\nb: 2\n\na: 3", "csv") == [("table", "a: 1\nb: 2"), ("table", "a: 3")]
    assert _blocks("a: 1\nb: 2", "json") == [("code", "a: 1\nb: 2")]


def test_pages_are_counted_from_one_at_page_breaks() -> None:
    text = "one\ftwo\f\ffour"
    outline = Outline(text, "pdf")
    assert [outline.page_at(at) for at in (0, 2, 3, 4, 6)] == [1, 1, 1, 2, 2]
    assert outline.page_at(text.index("four")) == 4
    assert Outline(text, "text").page_at(5) is None


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, format=FORMATS)
def test_blocks_are_in_order_and_leave_only_blanks_out(text: str, format: str | None) -> None:
    end = 0
    for block in Outline(text, format).blocks():
        assert not text[end : block.start].strip()
        assert end <= block.start < block.end
        assert text[block.start : block.end].strip()
        end = block.end
    assert not text[end:].strip()
