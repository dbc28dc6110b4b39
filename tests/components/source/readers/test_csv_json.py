"""What CSV and JSON files promise: every value with its name, and no line that makes the others unreadable."""

import json
from collections.abc import Callable

import pytest

from messages import whole_wording, wording
from messages.source import (
    above_table,
    below_table,
    guessed_encoding,
    line_skipped,
    more_cells_than_table,
    names_too_long,
    nested_too_deeply,
    not_json_text,
    quotes_wrong_in,
    unnamed_columns,
)
from places import CASES
from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.json_reader import MAX_DEPTH, is_nested_deeper
from ragloom.components.source.readers.reader_interface import ParsedFile


def read(content: str, name: str = "a.csv") -> ParsedFile:
    return parse_file(name, content.encode())


@pytest.mark.parametrize(
    "first", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "sep=;;;\n", "\ufeffsep=;\n"], ids=lambda line: repr(line)
)
def test_csv_line_that_names_the_delimiter_is_no_row(first: str) -> None:
    assert read(f"{first}model;price, new\nFen;1,5\n").text == "model: Fen\nprice, new: 1,5"


def test_csv_line_may_name_any_delimiter() -> None:
    assert read("sep=^\na^b\n1^2\n").text == "a: 1\nb: 2"
    assert read("sep=\t\na,b\tc\n1\t2\n").text == "a,b: 1\nc: 2"
    assert read("sep\n1\n").text == "sep: 1"


def test_csv_case_files_are_read_as_their_list_says() -> None:
    assert parse_file("a.csv", (CASES / "csv-sep-line.csv").read_bytes()).text == (
        "model: Fen\nprice: 210\n\nmodel: Moor\nprice: 230"
    )
    result = parse_file("a.csv", (CASES / "csv-cp949-units.csv").read_bytes())
    assert result.text == "temp: 25℃\narea: 30㎡\n\ntemp: 26℃\narea: 41㎡"
    assert result.metadata["encoding"] == "cp949"
    assert guessed_encoding("cp949") in result.warnings[0]


@pytest.mark.parametrize(
    ("content", "text", "warning"),
    [
        (
            "a,b\n1,2\n3,4,5\n6,7\n",
            "a: 1\nb: 2\n\n3, 4, 5\n\na: 6\nb: 7",
            more_cells_than_table("line 3", 3, 2),
        ),
        (
            "a,b\n1,2\n3,4,5\n6,7\n\n8,9,10\n",
            "a: 1\nb: 2\n\n3, 4, 5\n\na: 6\nb: 7\n\n8, 9, 10",
            more_cells_than_table("line 3 (and 1 more)", 3, 2),
        ),
        ("Sales\na,b\n1,2\n", "Sales\n\na: 1\nb: 2", above_table("line 1 is")),
        ("Sales,,\n\na,b,c\n1,2,3\n", "Sales\n\na: 1\nb: 2\nc: 3", above_table("line 1 is")),
        (
            "Sales\nyear 2024\na,b,c\n1,2,3\n4,5,6\n",
            "Sales\n\nyear 2024\n\na: 1\nb: 2\nc: 3\n\na: 4\nb: 5\nc: 6",
            above_table("2 lines from line 1 on are"),
        ),
        ("a,b\n1,2\n3,4\nend\n", "a: 1\nb: 2\n\na: 3\nb: 4\n\nend", below_table("line 4 is")),
        ("a,b,c\n1,2,3\nend,,\n", "a: 1\nb: 2\nc: 3\n\nend", below_table("line 3 is")),
        (
            "a,b\n1,2\nNote: without tax, in euro, 2024\n",
            "a: 1\nb: 2\n\nNote: without tax, in euro, 2024",
            more_cells_than_table("line 3", 3, 2),
        ),
        (
            "a,b\n1,2,3\n4,5,6\n",
            "a: 1\nb: 2\ncolumn 3: 3\n\na: 4\nb: 5\ncolumn 3: 6",
            unnamed_columns(2, 3),
        ),
        (
            'a,b\n1,"2"x\n3,4\n',
            'a: 1\nb: "2"x\n\na: 3\nb: 4',
            quotes_wrong_in(2),
        ),
        ('a,b\n1,"2\n3,4\n', 'a: 1\nb: "2\n\na: 3\nb: 4', quotes_wrong_in(2)),
    ],
)
def test_csv_line_that_is_no_row_is_named_and_the_rest_is_read(content: str, text: str, warning: str) -> None:
    """A row with a cell too many may have its values in other columns: it gets no names rather than wrong ones."""
    result = read(content)
    assert result.text == text
    assert result.warnings == [warning]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("name\nx\n", "name: x"),
        ("name,\nx,1\ny,2\n", "name: x\ncolumn 2: 1\n\nname: y\ncolumn 2: 2"),
        ("a,b\n1\n2,3\n", "a: 1\n\na: 2\nb: 3"),
        ("a,b\n1,2,\n3,4,\n", "a: 1\nb: 2\n\na: 3\nb: 4"),
        ('x;y\n"a;b";2\n"c\nd";3\n', "x: a;b\ny: 2\n\nx: c d\ny: 3"),
    ],
)
def test_csv_short_rows_and_blank_cells_are_no_fault(content: str, text: str) -> None:
    result = read(content)
    assert (result.text, result.warnings) == (text, [])


def test_csv_delimiter_is_found_behind_title_lines() -> None:
    assert read("Sales, all shops\nmodel;price\nFen;1,5\nMoor;2,5\n").text == (
        "Sales, all shops\n\nmodel: Fen\nprice: 1,5\n\nmodel: Moor\nprice: 2,5"
    )


def test_csv_lines_are_counted_as_in_the_file() -> None:
    result = read('sep=,\na,b\n"1\n1",2\n\n3,4,5\n6,7\n')
    assert result.warnings[0].startswith("line 6 has more cells")


def test_tsv_is_read_by_its_tabs() -> None:
    result = read("name\tprice, new\nFen\t1,5\n", "a.tsv")
    assert (result.text, result.metadata["ragloom_format"]) == ("name: Fen\nprice, new: 1,5", "csv")
    assert read("a,b\n1,2\n", "a.tsv").text == "a: 1\nb: 2"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"a": 1}\n{"a": 2}\n', "a: 1\n\na: 2"),
        ('{"a": 1}\n\n{"b": {"c": 2}}', "a: 1\n\nb.c: 2"),
        ('{"a":\n 1}\n{"a": 2}', "a: 1\n\na: 2"),
        ("[1]\n[2, 3]\n", "[0]: 1\n\n[0]: 2\n[1]: 3"),
        ('{"a": NaN, "b": -Infinity, "c": Infinity}', "a: NaN\nb: -Infinity\nc: Infinity"),
        ('[{"a": NaN}]', "a: NaN"),
    ],
)
def test_json_lines_and_numbers_without_a_value_are_read(content: str, text: str) -> None:
    result = read(content, "a.json")
    assert (result.text, result.warnings) == (text, [])


def test_json_line_that_is_wrong_is_named_and_the_rest_is_read() -> None:
    result = read('{"a": 1}\nwrong\n{"a": 2}\n{"a": 3\n', "a.json")
    assert result.text == "a: 1\n\na: 2"
    assert result.warnings == [line_skipped() + not_json_text(1, line=2) + " (and 1 more)"]


def test_json_that_is_mostly_wrong_is_refused() -> None:
    with pytest.raises(CannotRead, match=whole_wording("it " + not_json_text(1, line=2))):
        read('{"a": 1}\nwrong\nwrong\n', "a.json")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_is_read_to_a_depth_that_is_ours(opening: str, closing: str) -> None:
    """The parser's own limit is the interpreter's: 3.11 refused what 3.13 read."""
    assert read(opening * MAX_DEPTH + "1" + closing * MAX_DEPTH, "a.json").text.endswith(": 1")
    for levels in (MAX_DEPTH + 1, 5_000, 100_000):
        with pytest.raises(CannotRead, match=whole_wording(nested_too_deeply("its JSON", 500))):
            read(opening * levels + "1" + closing * levels, "a.json")


def test_json_depth_is_of_brackets_outside_texts() -> None:
    assert not is_nested_deeper('["' + "[" * 900 + '", "\\"[[[[", {"[": 1}]', 2)
    assert not is_nested_deeper("[]" * 1_000, 1)
    assert is_nested_deeper("[[[]]]", 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xhtml", '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>text</p></body></html>'),
        ("a.XHTML", "<p>text"),
    ],
)
def test_xhtml_is_read_as_html(name: str, content: str) -> None:
    result = read(content, name)
    assert (result.text, result.metadata["ragloom_format"]) == ("text", "html")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", lambda count: "\n".join(["h" * 100_000, *"x" * count])),
        ("a.json", lambda count: json.dumps({"h" * 100_000: [1] * count})),
    ],
)
def test_text_with_repeated_names_has_at_most_ten_million_characters(name: str, content: Callable[[int], str]) -> None:
    assert len(read(content(99), name).text) < 10_000_000
    with pytest.raises(CannotRead, match=wording(names_too_long(50))):
        read(content(101), name)
