"""Terminal output of a query: answer, sources, and explained ranks."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from ragloom.cli.table_layout import Column, print_columns
from ragloom.components.vector_store.protocols import Index
from ragloom.core.nodes import place, to_chunk
from ragloom.core.records import Chunk, Citation
from ragloom.query.query_result import QueryResult

_EXCERPT = 70


def print_result(console: Console, result: QueryResult, index: Index, *, explain: bool, streamed: bool) -> None:
    """Print a result; a streamed answer is not repeated."""
    chunks = [to_chunk(node.node) for node in result.nodes]
    if result.answer is not None and not streamed:
        console.print(escape(result.answer))
        console.print()
    if result.citations:
        supplied = [chunk for chunk in chunks if chunk.id in result.supplied]
        console.print("[bold]Sources[/]")
        for citation in result.citations:
            _print_citation(console, citation, supplied)
        if result.unverified < len(result.citations):
            console.print("[dim]quotes were checked against the documents, not whether they support the answer[/]")
        console.print()
    if explain or result.answer is None:
        print_ranks(console, result)
    for note in result.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    if explain:
        print_stages(console, result)
    console.print(f"[dim]index {escape(index.info.name)} | {result.timings_ms.get('total', 0):.0f} ms[/]")


def print_ranks(console: Console, result: QueryResult) -> None:
    """Print how each chunk was found and moved."""
    chunks = [to_chunk(node.node) for node in result.nodes]
    print_columns(console, _rank_columns(result, chunks), "; --json has them")
    console.print("[dim]dense, bm25: rank (raw score); a score fused of both only compares these chunks[/]")


def print_stages(console: Console, result: QueryResult) -> None:
    """Print the milliseconds of each stage."""
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result.timings_ms.items())
    console.print(f"[dim]ms: {stages}[/]")


def _print_citation(console: Console, citation: Citation, supplied: list[Chunk]) -> None:
    number = f"\\[{citation.number}]"
    if citation.document is None:
        console.print(f"  {number} [red]NOT VERIFIED[/]: no source of this number was supplied")
        return
    where = escape(place(citation.document, supplied[citation.number - 1].metadata))
    quote = escape(_one_line(citation.quote))
    if citation.verified:
        span = f"characters {citation.start}-{citation.end}"
        console.print(f'  {number} {where}, {span}, [green]the quote is in the document[/]: "{quote}"')
    elif citation.quote:
        console.print(f'  {number} {where} [red]NOT VERIFIED[/]: the quote is not in it: "{quote}"')
    else:
        console.print(f"  {number} {where} [red]NOT VERIFIED[/]: the answer gives no quote for it")


def _rank_columns(result: QueryResult, chunks: list[Chunk]) -> list[Column]:
    ranks = [result.found.get(chunk.id, (None, None)) for chunk in chunks]
    return [
        Column("rank", [str(rank) for rank in range(1, len(chunks) + 1)], number=True),
        Column("score", [_number(node.score) for node in result.nodes], number=True),
        Column("retriever", [_number(rank) for rank, _ in ranks], number=True, rank=3),
        Column("dense", [_arm(arms, "dense") for _, arms in ranks], number=True, rank=2),
        Column("bm25", [_arm(arms, "bm25") for _, arms in ranks], number=True, rank=1),
        Column("source", [f"{place(chunk.document, chunk.metadata)} [{chunk.start}-{chunk.end}]" for chunk in chunks]),
        Column("text", [_one_line(chunk.text)[:_EXCERPT] for chunk in chunks]),
    ]


def _arm(node: Any, arm: str) -> str:
    """Format rank and raw score of a retriever arm, `-` if absent."""
    rank = getattr(node, f"{arm}_rank", None)
    return "-" if rank is None else f"{rank} ({_number(getattr(node, f'{arm}_score', None))})"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
