"""Dry run: an ingest that embeds and writes nothing.

It is the real run, stage by stage, so that what it counts is what an ingest does: the same documents are read in
worker processes, the same chunks packed into the same requests. What an interrupted ingest left uncommitted is not
seen; its vectors are, where they are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ragloom.components.vector_store.protocols import Writer
from ragloom.components.vector_store.record_types import IndexMissing, ManifestRow
from ragloom.core.budget import Budget, BudgetSpent
from ragloom.core.data_frame import data_frame
from ragloom.core.pricing import cost_usd
from ragloom.core.usage import collect_usage
from ragloom.ingestion.counting_embedding import CountingEmbedding, TextCounts
from ragloom.ingestion.deletions import checked_root, delete_vanished
from ragloom.ingestion.document_diff import DocumentDiff
from ragloom.ingestion.empty_source import demand_document
from ragloom.ingestion.executor import LocalExecutor
from ragloom.ingestion.failed_documents import RefusedDocuments, remembered
from ragloom.ingestion.limits import Limits
from ragloom.ingestion.pipeline import IngestRun
from ragloom.ingestion.reading_pace import ReadingPace
from ragloom.ingestion.scale_model import ScaleForecast, Workload
from ragloom.ingestion.summary import IngestSummary, Progress, no_progress

if TYPE_CHECKING:
    import pandas

    from ragloom.components.chunking.base import SpanParser
    from ragloom.components.embedding.base import Embedding
    from ragloom.components.source.base import Source
    from ragloom.components.vector_store.protocols import Database, Index
    from ragloom.components.vector_store.record_types import StoredDocumentRow
    from ragloom.core.records import Chunk


@dataclass
class Estimate:
    """Estimate of an ingest: documents, chunks, requests, cost.

    Attributes:
        summary: documents by what would become of them, what cannot be read, why nothing would be deleted.
        new_chunks: of the documents that would be written.
        chunks: texts of chunks.
        sentences: texts that cutting asks for.
        guessed: texts of `sentences` whose documents were cut without the vectors, so that `new_chunks` and `chunks`
            are estimates.
        seconds: after which the last request may be sent at the limits per minute; None = there are none.
        index_bytes: of the whole index, estimated.
        over_budget: where the budget would stop it.
        work: that an ingest would have, for the cost model.
        pace: what reading took here, in place of the cost model's rates of it.
        forecast: of the ingest's time and memory; None where the store's rates are unknown.
        forecast_factor: within which its seconds are expected, up and down.
        forecast_basis: where its rates come from.
        model: whose price each embedded token has; None where nothing is paid.
        prices: model -> {input, output}: US dollars per million tokens.
    """

    summary: IngestSummary
    new_chunks: int
    chunks: TextCounts
    sentences: TextCounts
    guessed: int
    seconds: float | None
    index_bytes: int
    over_budget: str | None
    model: str | None
    prices: Mapping[str, Any]
    work: Workload
    pace: ReadingPace
    forecast: ScaleForecast | None = None
    forecast_factor: float = 1.0
    forecast_basis: str | None = None

    @property
    def tokens(self) -> int:
        """To be embedded, by the embedding's own tokenizer."""
        return self.chunks.tokens + self.sentences.tokens

    @property
    def requests(self) -> int:
        """To be made."""
        return self.chunks.requests + self.sentences.requests

    @property
    def basis(self) -> str | None:
        """Reason why the number of chunks is an estimate; None when exact."""
        if not self.guessed:
            return None
        return (
            f"of the texts whose vectors decide where documents are cut, {self.sentences.texts} are not cached: those "
            f"documents were cut by which words their sentences share"
        )

    def usd(self, tokens: int) -> float | None:
        """Price embedded tokens in US dollars; None where the price is unknown."""
        return 0.0 if self.model is None else cost_usd([(self.model, tokens, 0)], self.prices)

    def to_pandas(self) -> pandas.DataFrame:
        """Return rows of texts, tokens and cost.

        One row for chunks, one for texts that cutting needs.

        Raises:
            ConfigError: pandas is not installed.
        """
        return data_frame(
            [{"texts_of": name, **self._requests_json(getattr(self, name))} for name in ("chunks", "sentences")]
        )

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that `ingest dry_run=true` prints."""
        summary = self.summary
        return {
            "dry_run": True,
            "index": summary.index,
            "documents": {
                **{name: getattr(summary, name) for name in ("added", "changed", "unchanged", "moved", "deleted")},
                "unreadable": summary.unreadable_count,
                "skipped": summary.skipped_count,
                "warnings": summary.warnings_count,
                "in_index": summary.documents,
            },
            **{name: [*map(asdict, getattr(summary, name))] for name in ("unreadable", "skipped", "warnings")},
            "kept": summary.kept,
            "stopped": summary.stopped,
            "chunks": {"new": self.new_chunks, "in_index": summary.chunks, "estimated": self.basis is not None},
            "basis": self.basis,
            "embedding": self._requests_json(self.chunks),
            "sentences": self._requests_json(self.sentences),
            "tokens": self.tokens,
            "requests": self.requests,
            "paid": self.model is not None,
            "cost_usd": self.usd(self.tokens),
            "seconds_at_limits": self.seconds,
            "index_bytes": self.index_bytes,
            "over_budget": self.over_budget,
            "forecast": self._forecast_json(),
        }

    def _forecast_json(self) -> dict[str, Any]:
        if self.forecast is None:
            return {"seconds": None, "basis": self.forecast_basis}
        shown = {"seconds": self.forecast.seconds, **asdict(self.forecast)}
        return {**shown, "factor": self.forecast_factor, "basis": self.forecast_basis}

    def _requests_json(self, requests: TextCounts) -> dict[str, Any]:
        return {**asdict(requests), "cost_usd": self.usd(requests.tokens)}


def rehearse(
    source: Source,
    chunking: SpanParser,
    embedding: Embedding,
    database: Database,
    *,
    index_name: str,
    limits: Limits,
    keeps: bool,
    prices: Mapping[str, Any],
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Estimate:
    """Estimate an ingest without embedding or writing.

    Args:
        source, chunking, embedding, database, index_name, limits, progress, stop: as `ragloom.ingestion.ingest` has
            them; nothing of the embedding is called but its tokenizer.
        keeps: whether the ingest would keep vectors in a cache, so that a text that comes again is paid once.
        prices: model -> {input, output}: US dollars per million tokens.

    Raises:
        DataError, ServiceError: as `ragloom.ingestion.ingest`.
    """
    root = checked_root(source, database, index_name)
    try:
        index = database.open(index_name)
    except IndexMissing:
        index = None
        demand_document(source)
    writer = _Unwritten(index)
    with collect_usage() as usage, DocumentDiff() as ledger, closing(CountingEmbedding(embedding, keeps)) as unmade:
        summary = IngestSummary(index_name, usage=usage)
        chunking, counted = unmade.in_place_of_its_embedding(chunking), cast("Embedding", unmade)
        tell = progress or no_progress
        refusals = RefusedDocuments(remembered(database, index_name), limits.retry_failed)
        verify = source.verify or root != source.root
        nowhere, committed = cast(Writer, writer), lambda: cast("Index", index)
        run = IngestRun(source, chunking, counted, nowhere, ledger, summary, tell, stop, refusals, verify, committed)
        pace = ReadingPace()
        run.list()
        pace.lap()
        if run.has_work:
            LocalExecutor().run(run, limits.workers)
        pace.lap()
        if summary.stopped is None and index is not None:
            delete_vanished(run, limits.deletions)
        staying = ledger.staying(without_gone=summary.kept is None)
        summary.documents = staying.documents + writer.documents
        summary.chunks = staying.chunks + writer.chunks
        run.tell("done")
        model = embedding.model_name if getattr(embedding, "paid", False) else None
        text = writer.text_bytes / writer.chunks if writer.chunks else 0.0
        work = Workload(
            listed=run.state.listed,
            megabytes=run.state.bytes_read / 1e6,
            chunks=writer.chunks,
            index_chunks=summary.chunks,
            text_bytes=text * summary.chunks,
            dimensions=embedding.dimensions,
            embedded=unmade.chunks.texts + unmade.sentences.texts,
            requests=0 if model is None else unmade.chunks.requests + unmade.sentences.requests,
        )
        estimate = Estimate(
            summary=summary,
            new_chunks=writer.chunks,
            chunks=unmade.chunks,
            sentences=unmade.sentences,
            guessed=unmade.guessed,
            seconds=unmade.seconds,
            index_bytes=writer.estimated_bytes(work),
            over_budget=None,
            model=model,
            prices=prices,
            work=work,
            pace=pace,
        )
    estimate.over_budget = _over(limits.budget, estimate)
    return estimate


def _over(budget: Budget | None, estimate: Estimate) -> str | None:
    try:
        if budget is not None:
            budget.charge(estimate.tokens)
    except BudgetSpent as error:
        return str(error)
    return None


class _Unwritten:
    """A `Writer` that only counts.

    Attributes:
        documents, chunks, text_bytes: that would be written.
    """

    def __init__(self, index: Index | None) -> None:
        self._index = index
        self.documents = self.chunks = self.text_bytes = 0

    def manifest(self) -> Iterator[ManifestRow]:
        """Yield what the last commit holds."""
        return self._index.manifest() if self._index is not None else iter(())

    def vectors_of(
        self, document_ids: Sequence[str], sent: Collection[str] | None = None
    ) -> dict[tuple[str, str], np.ndarray]:
        """Return stored vectors, as the index does."""
        return self._index.vectors_of(document_ids, sent) if self._index is not None else {}

    def append(self, chunks: Sequence[Chunk], vectors: np.ndarray, sent_hashes: Sequence[str]) -> None:
        """Count chunks."""
        self.chunks += len(chunks)
        self.text_bytes += sum(len(chunk.text.encode("utf-8", "surrogatepass")) for chunk in chunks)

    def finish(self, documents: Sequence[StoredDocumentRow]) -> None:
        """Count documents."""
        self.documents += len(documents)

    def discard(self, documents: Sequence[tuple[str, str]]) -> None:
        """Nothing was appended."""

    def touch(self, rows: Sequence[ManifestRow]) -> None:
        """Nothing is recorded."""

    def delete(self, document_ids: Sequence[str]) -> int:
        """Delete nothing."""
        return len(document_ids)

    def estimated_bytes(self, work: Workload) -> int:
        """Estimate the whole index from the chunks of new and stored documents."""
        if self._index is not None and self._index.info.chunks > self.chunks:
            return int(self._index.info.bytes / self._index.info.chunks * work.index_chunks)
        return int(work.index_bytes)
