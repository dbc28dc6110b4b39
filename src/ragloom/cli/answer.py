"""Shows a result to a person: the answer, its sources, and on request how each chunk was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ragloom.nodes import place, to_chunk

if TYPE_CHECKING:
    from rich.console import Console

    from ragloom.query import Result
    from ragloom.records import Chunk, Citation
    from ragloom.vector_store.interface import Index

_EXCERPT = 70


def print_result(console: Console, result: Result, index: Index, *, explain: bool, streamed: bool) -> None:
    """Prints a result; what was streamed is not repeated."""
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
            console.print("[dim]quotes are compared with the documents; whether they bear the answer out is not[/]")
        console.print()
    if explain or result.answer is None:
        console.print(_found_table(result, chunks), soft_wrap=False)
        console.print("[dim]dense, bm25: rank (raw score); a score fused of both only compares these chunks[/]")
    for note in result.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    if explain:
        stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result.timings_ms.items())
        console.print(f"[dim]ms: {stages}[/]")
    console.print(f"[dim]index {escape(index.info.name)} | {result.timings_ms.get('total', 0):.0f} ms[/]")


def _print_citation(console: Console, citation: Citation, supplied: list[Chunk]) -> None:
    number = f"\\[{citation.number}]"
    if citation.document is None:
        console.print(f"  {number} [red]NOT VERIFIED[/]: no source of this number was supplied")
        return
    where = escape(place(citation.document, supplied[citation.number - 1].metadata))
    quote = escape(_one_line(citation.quote))
    if citation.verified:
        span = f"characters {citation.start}-{citation.end}"
        console.print(
            f'  {number} {where}, {span}, [green]the quote is in the document[/]: "{escape(_one_line(citation.quote))}"'
        )
    elif citation.quote:
        quote = escape(_one_line(citation.quote))
        console.print(f'  {number} {where} [red]NOT VERIFIED[/]: the quote is not in it: "{quote}"')
    else:
        console.print(f"  {number} {where} [red]NOT VERIFIED[/]: the answer gives no quote for it")


def _found_table(result: Result, chunks: list[Chunk]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
    for name in ("rank", "score", "retriever", "dense", "bm25"):
        table.add_column(name, justify="right")
    table.add_column("source", overflow="fold", ratio=1)
    table.add_column("text", overflow="ellipsis", no_wrap=True, ratio=1)
    for rank, (node, chunk) in enumerate(zip(result.nodes, chunks, strict=True), start=1):
        found_rank, found = result.found.get(chunk.id, (None, None))
        table.add_row(
            str(rank),
            _number(node.score),
            _number(found_rank),
            _arm(found, "dense"),
            _arm(found, "bm25"),
            escape(f"{place(chunk.document, chunk.metadata)} [{chunk.start}-{chunk.end}]"),
            escape(_one_line(chunk.text)[:_EXCERPT]),
        )
    return table


def _arm(found: Any, arm: str) -> str:
    """Shows an arm's rank and raw score, or `-` where it did not find the chunk."""
    rank = getattr(found, f"{arm}_rank", None)
    return "-" if rank is None else f"{rank} ({_number(getattr(found, f'{arm}_score', None))})"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
