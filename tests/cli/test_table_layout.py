"""Tables on the screen: a line a row, within the width, words whole, and what is left out is named."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from ragloom.cli.table_layout import Column, fit_columns, print_columns

TEXTS = st.text(st.sampled_from("ab 한글漢é-_."), min_size=1, max_size=30)


@st.composite
def tables(draw: st.DrawFn) -> list[Column]:
    rows = draw(st.integers(1, 5))
    columns = []
    for number in range(draw(st.integers(1, 8))):
        is_number = draw(st.booleans())
        cells = st.floats(-1, 1).map(lambda value: f"{value:.3f}") if is_number else TEXTS
        rank = draw(st.integers(0, 4)) if number else 0
        columns.append(Column(f"c{number}", draw(st.lists(cells, min_size=rows, max_size=rows)), is_number, rank))
    return columns


def printed(columns: list[Column], width: int) -> list[str]:
    out = io.StringIO()
    print_columns(Console(file=out, width=width, highlight=False), columns, "; the file has them")
    return out.getvalue().splitlines()


@given(tables(), st.integers(20, 120))
def test_columns_of_the_highest_rank_are_left_out_first_and_named(columns: list[Column], width: int) -> None:
    shown, left_out = fit_columns(columns, width)
    assert [column.name for column in columns if column.name not in left_out] == [column.name for column in shown]
    ranks = {column.name: column.rank for column in columns}
    assert all(ranks[name] > 0 for name in left_out)
    if left_out:
        assert min(ranks[name] for name in left_out) >= max(
            (rank for name, rank in ranks.items() if name not in left_out), default=0
        )
    for column in shown:
        if column.number:
            assert column in columns  # a number is whole or not there


@given(tables())
def test_each_row_is_one_line_within_the_width(columns: list[Column]) -> None:
    shown, left_out = fit_columns(columns, 80)
    lines = printed(columns, 80)
    rows = len(columns[0].cells)
    assert len(lines) >= 1 + rows
    if sum(column.width + 2 for column in shown) <= 80:
        assert all(cell_len(line.rstrip()) <= 80 for line in lines[: 1 + rows])
        last = shown[-1]
        for line, cell in zip(lines[1:], last.cells, strict=False):
            assert line.rstrip().endswith(cell.rstrip()) or not cell.strip()
    if left_out:
        assert lines[1 + rows].startswith("not shown in 80 columns: ")


def test_text_that_is_too_long_is_shortened_and_marked() -> None:
    lines = printed([Column("name", ["x" * 100]), Column("score", ["1.000"], number=True)], 40)
    assert lines[1].split() == ["x" * 30 + "…", "1.000"]
