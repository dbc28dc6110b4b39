"""What reading Markdown's structure promises: headings and code where CommonMark has them, and nowhere else."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from places import CASES
from ragloom.core.commonmark import parse_structure
from ragloom.core.outline import Outline

FRAGMENTS = [
    "", "", "text", "more text", "# One", "## Two ##", "#", "#no", "   ### Three", "    # code", "===", "---", "--", "=",
    "***", "_ _ _", "- item", "- # In item", "* ", "-", "+ a", "1. one", "2. two", "10) ten", "  indented", "   three",
    "    four", "      six", "\ttab", "-\ttab item", "> quote", "> # Quoted", ">", "> ---", ">> deep", "> - item in quote",
    "```", "~~~", "````", "``` sh", "~~~ `x`", "   ```", "    ```", "- ```", "> ```", "  ~~~~",
    "<!--", "-->", "<!-- one line -->", "<!-- # x", "<div>", "</div>", "<pre>", "</pre>", "<script>", "</script>",
    "<?php", "?>", "<!DOCTYPE html>", "<![CDATA[", "]]>", "<a href='x'>", "<b>bold</b> text", "<custom-tag>", "<br/>",
    "[ref]: /url", "[ref]: <a b> 'title'", "[ref]: /url junk", "`code`", "* * *x", "-  # two", "1.  # three",
]  # fmt: skip


def headings_of(text: str) -> list[tuple[int, int, int, str]]:
    result = parse_structure(text.split("\n")).parts
    return [(p.first, p.last, p.level, " ".join(p.title.split())) for p in result if p.kind == "heading"]


def reference(text: str) -> tuple[list[tuple[int, int, int, str]], list[int], list[int]]:
    """Give what markdown-it-py finds: headings, and the first lines of fenced code and of HTML and indented code."""
    headings, fences, opaque = [], [], []
    tokens = MarkdownIt("commonmark").parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.map:
            title = " ".join(tokens[at + 1].content.split())
            headings.append((token.map[0], token.map[1] - 1, int(token.tag[1]), title))
        elif token.type == "fence" and token.map:
            fences.append(token.map[0])
        elif token.type in ("html_block", "code_block") and token.map:
            opaque.append(token.map[0])
    return headings, fences, opaque


def with_blanks(lines: list[str]) -> list[str]:
    """Puts a blank line after link reference definitions: parsers differ in what may follow directly."""
    return [line for given in lines for line in ([given, ""] if given.startswith("[ref]") else [given])]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(with_blanks))
@example(["> # Quoted", "lazy", "==="])
@example(["- a", "", "  # In", "", "# Out"])
@example(["-", "", "  # not in the item"])
@example(["text", "2. no list", "---"])
@example(["- ```", "  # comment", "  ```", "# Real"])
def test_markdown_structure_is_that_of_an_independent_parser(lines: list[str]) -> None:
    text = "\n".join(lines)
    headings, fences, opaque = reference(text)
    result = parse_structure(lines).parts
    assert headings_of(text) == headings
    assert [part.first for part in result if part.kind == "code"] == fences
    if ">>" not in text:  # markdown-it-py ends a nested quote's paragraph at an indented line; CommonMark does not
        assert [part.first for part in result if part.kind == "opaque"] == opaque


def path_at(text: str, part: str) -> str | None:
    return Outline(text, "markdown").heading_at(text.index(part))


def test_markdown_case_of_the_collection_has_no_heading_from_a_comment() -> None:
    text = (CASES / "md-comment-heading.md").read_text(encoding="utf-8")
    assert path_at(text, "The chain") == "Care"


@pytest.mark.parametrize(
    "block",
    [
        "<!--\n# x\n\n## y\n-->",
        "<!-- a\n# x -->",
        "<pre>\n\n# x\n\n</pre>",
        "<script>\n# x\n\n# y\n</script>",
        "<style>\n# x {}\n\n# y\n</style>",
        "<textarea>\n\n# x\n</textarea>",
        "<?php\n\n# x\n?>",
        "<!DOCTYPE\n# x>",
        "<![CDATA[\n\n# x\n]]>",
        "<div>\n# x\n</div>",
        "<details><summary>\n# x\n</summary>\n</details>",
        "<my-tag a='1'>\n# x\n</my-tag>",
        "```\n# x\n```",
        "~~~~ sh\n# x\n~~~\n# y\n~~~~",
        "````\n```\n# x\n```\n````",
        "- ```\n  # x\n  ```",
        "1.  text\n\n    ```\n    # x\n    ```",
        "> ```\n> # x\n> ```",
        "    # x",
        "- item\n\n      # x",
        "text\n    # x",
        "\\# x",
        "#x",
        "####### x",
    ],
)
def test_markdown_line_within_code_or_html_is_no_heading(block: str) -> None:
    text = f"# Care\n\n{block}\n\nThe end."
    assert path_at(text, "The end") == "Care"
    assert [title for *_, title in headings_of(text)] == ["Care"]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("Two\nlines\n===\n", [(0, 2, 1, "Two lines")]),
        ("Three\nlines of\ntitle\n---\n", [(0, 3, 2, "Three lines of title")]),
        ("One\n=", [(0, 1, 1, "One")]),
        ("a\n\nb\n---", [(2, 3, 2, "b")]),
        ("# A #\n## B ##x\n### C \\#", [(0, 0, 1, "A"), (1, 1, 2, "B ##x"), (2, 2, 3, "C \\#")]),
        ("[a]: /url\n===", []),
        ("[a]: /url\nTitle\n===", [(1, 2, 1, "Title")]),
        ("- item\n---", []),
        ("- item\n  ---", [(0, 1, 2, "item")]),
        ("> quote\n---", []),
        ("```\na\n===", []),
        ("a | b\n--|--\n1 | 2\n===", []),
        ("text\n***", []),
        ("---\ntitle: x\n---\n# A", [(3, 3, 1, "A")]),
        ("---\n# comment\ntags:\n- a\n  b: c\n...\nA\n===", [(6, 7, 1, "A")]),
        ("+++\ntitle = 'x'\n# c\n+++\n# A", [(4, 4, 1, "A")]),
        ("---\n# A\n\ntext\n---", [(1, 1, 1, "A"), (3, 4, 2, "text")]),
        ("- # In item\n\n  text", [(0, 0, 1, "In item")]),
        ("1. a\n\n   ## In item", [(2, 2, 2, "In item")]),
        ("\t# x", []),
        ("#\tTab", [(0, 0, 1, "Tab")]),
    ],
)
def test_markdown_headings_are_those_of_commonmark(text: str, headings: list[tuple[int, int, int, str]]) -> None:
    assert headings_of(text) == headings


def test_markdown_heading_in_a_quote_holds_within_the_quote_only() -> None:
    text = "# Guide\n\n> # Quoted\n>\n> inside\n\nafter\n\n## Next\n\nend"
    assert [path_at(text, part) for part in ("inside", "after", "end")] == ["Guide > Quoted", "Guide", "Guide > Next"]
    text = "> ## Quoted\n> inside\n\nafter"
    assert [path_at(text, part) for part in ("inside", "after")] == ["Quoted", None]


def test_markdown_heading_in_a_list_item_opens_a_section() -> None:
    text = "# Guide\n\n- ## Step\n\n  inside"
    assert path_at(text, "inside") == "Guide > Step"


def test_markdown_title_over_two_lines_is_the_heading_path() -> None:
    text = "Care of\nthe chain\n=========\n\nOil it."
    assert path_at(text, "Oil") == "Care of the chain"
    assert [block.kind for block in Outline(text, "markdown").blocks()] == ["heading", "text"]


@given(st.lists(st.sampled_from([*FRAGMENTS, "| a |", "|---|", "a | b", "--|--"]), max_size=15))
def test_markdown_blocks_cover_all_that_is_not_blank_in_order(lines: list[str]) -> None:
    text = "\n".join(lines)
    end = 0
    for block in Outline(text, "markdown").blocks():
        assert not text[end : block.start].strip()
        assert re.match(r"\s*\S", text[block.start : block.end])
        end = block.end
    assert not text[end:].strip()


def test_markdown_of_many_nested_marks_is_read_in_time() -> None:
    for line in (">" * 20_000, "- " * 20_000 + "x", "* " * 20_000 + "x", "1. " * 20_000, "<a" + " b=1" * 20_000):
        assert parse_structure([line, "", "# A"]).parts[-1].title == "A"
