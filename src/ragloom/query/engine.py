"""Query engine: retrieve, rerank, prompt, answer, verify.

The engine is a LlamaIndex `BaseQueryEngine`: `query`, `aquery` and streaming return LlamaIndex responses with
`source_nodes`. What Ragloom adds (checked citations, timings, usage) is in the metadata and in `QueryResult`.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response, StreamingResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.components.prompt.base import FilledPrompt, Prompt
from ragloom.components.vector_store.record_types import StoredDocument
from ragloom.core.nodes import raw_scores, to_chunk
from ragloom.core.prompt_and_reply import NO_ANSWER, Shown, ending_note, finish_reason_of, reasoning_of
from ragloom.core.records import Chunk
from ragloom.core.text_normalization import join_surrogates
from ragloom.core.timing import collect, timed
from ragloom.core.usage import collect_usage
from ragloom.errors import ConfigError, DataError, ServiceError
from ragloom.query.citations import verify
from ragloom.query.citations.abstention import abstains
from ragloom.query.query_result import QueryResult


class CitedQueryEngine(BaseQueryEngine):
    """Retrieves, reranks, prompts, answers, and checks every citation against the stored documents.

    Args:
        retriever: finds candidates.
        reranker: orders and cuts them.
        prompt: fills the messages.
        llm: answers; None when the engine shall only search.
        document: document id -> stored document; raises DataError for an unknown id.
        streaming: `query` returns a `StreamingResponse`, whose metadata is complete when its text has been read.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        reranker: BaseNodePostprocessor,
        prompt: Prompt,
        llm: LLM | None,
        document: Callable[[str], StoredDocument],
        *,
        streaming: bool = False,
    ) -> None:
        super().__init__(callback_manager=None)
        self._retriever = retriever
        self._reranker = reranker
        self._prompt = prompt
        self._writer = llm
        self._document = document
        self._streaming = streaming

    def answer(self, question: str | QueryBundle, *, on_text: Callable[[str], None] | None = None) -> QueryResult:
        """Answers a question.

        Args:
            question: text, or a bundle that brings its embedding.
            on_text: receives the pieces of the reply as they arrive (the LLM streams then).

        Raises:
            ServiceError: a provider or the store failed, or the reply broke off.
        """
        bundle = question if isinstance(question, QueryBundle) else QueryBundle(question)
        with collect() as timings, collect_usage() as usage, timed("total"):
            result = self._search(bundle)
            self._write(bundle, result, on_text)
        result.timings_ms, result.usage = dict(timings), usage
        return result

    def complete(self, retrieval: QueryResult) -> QueryResult:
        """Answer from retrieved chunks; timings and usage cover the answering only.

        Raises:
            ServiceError: as `answer`.
        """
        result = QueryResult(retrieval.question, nodes=retrieval.nodes, found=retrieval.found)
        with collect() as timings, collect_usage() as usage, timed("total"):
            self._write(QueryBundle(retrieval.question), result, None)
        result.timings_ms, result.usage = dict(timings), usage
        return result

    def _write(self, bundle: QueryBundle, result: QueryResult, on_text: Callable[[str], None] | None) -> None:
        """Fill in the answer."""
        prompted = self._fill(bundle, result)
        if prompted is None:
            self._say_no_answer(result)
            if on_text is not None:
                on_text(result.answer or "")
            return
        with timed("llm"):
            reply = self._reply(prompted, on_text)
        self._verify(reply, prompted, result)

    def search(self, question: str | QueryBundle) -> QueryResult:
        """Retrieve and reranks, and stops there."""
        bundle = question if isinstance(question, QueryBundle) else QueryBundle(question)
        with collect() as timings, collect_usage() as usage, timed("total"):
            result = self._search(bundle)
        result.timings_ms, result.usage = dict(timings), usage
        return result

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Return the candidates for the prompt, best first."""
        return self.search(query_bundle).nodes

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        if self._streaming:
            return self._stream(query_bundle)
        return _response(self.answer(query_bundle))

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        if self._streaming:
            return self._stream(query_bundle)
        with collect() as timings, collect_usage() as usage, timed("total"):
            result = await self._asearch(query_bundle)
            prompted = self._fill(query_bundle, result)
            if prompted is None:
                self._say_no_answer(result)
            else:
                with timed("llm"):
                    response = await self._llm.achat(prompted.messages)
                self._verify(response, prompted, result)
        result.timings_ms, result.usage = dict(timings), usage
        return _response(result)

    def _search(self, bundle: QueryBundle) -> QueryResult:
        with timed("retrieve"):
            retrieved = self._retriever.retrieve(bundle)
        before = self._counted()
        with timed("rerank"):
            nodes = self._reranker.postprocess_nodes(retrieved, query_bundle=bundle)
        return self._found(bundle, retrieved, nodes, before)

    async def _asearch(self, bundle: QueryBundle) -> QueryResult:
        with timed("retrieve"):
            retrieved = await self._retriever.aretrieve(bundle)
        before = self._counted()
        with timed("rerank"):
            nodes = await self._reranker.apostprocess_nodes(retrieved, query_bundle=bundle)
        return self._found(bundle, retrieved, nodes, before)

    def _counted(self) -> dict[str, int]:
        """Return the counts of the reranker: malformed replies, cut passages."""
        return dict(getattr(self._reranker, "counts", {}))

    def _found(
        self,
        bundle: QueryBundle,
        candidates: Sequence[NodeWithScore],
        nodes: Sequence[NodeWithScore],
        before: dict[str, int],
    ) -> QueryResult:
        ranks = {node.node.node_id: (rank, node) for rank, node in enumerate(candidates, start=1)}
        result = QueryResult(bundle.query_str, nodes=list(nodes), found=ranks)
        for name, count in self._counted().items():
            if count > before.get(name, 0):
                result.notes.append(f"reranker: {count - before.get(name, 0)} {name}")
        return result

    def _fill(self, bundle: QueryBundle, result: QueryResult) -> FilledPrompt | None:
        if not result.nodes:
            return None
        with timed("prompt"):
            reach = getattr(self._writer, "reads_around", 0)
            around = functools.partial(self._around, functools.cache(self._stored_text), reach) if reach else None
            prompted = self._prompt.fill(bundle.query_str, result.nodes, around)
        result.supplied = [node.node.node_id for node in prompted.supplied]
        result.passages = prompted.passages
        left_out = len(result.nodes) - len(result.supplied)
        if left_out:
            result.notes.append(
                f"{left_out} of {len(result.nodes)} chunks were left out of the prompt: they do not fit "
                f"prompt.max_context_tokens={self._prompt.max_context_tokens}"
            )
        return prompted

    def _say_no_answer(self, result: QueryResult) -> None:
        result.answer = NO_ANSWER[self._prompt.language_for(result.question)]
        result.notes.append("no chunk was found (nothing matches, or retriever.min_score or filters leave nothing)")

    def _reply(self, prompted: FilledPrompt, on_text: Callable[[str], None] | None) -> ChatResponse:
        if on_text is None:
            return self._llm.chat(prompted.messages)
        last, shown = None, Shown()
        for last in self._llm.stream_chat(prompted.messages):
            if piece := shown.piece(last):
                on_text(piece)
        return _complete(last)

    def _verify(self, response: ChatResponse, prompted: FilledPrompt, result: QueryResult) -> None:
        message = response.message
        reply = join_surrogates(message.content or "")
        if not reply.strip():
            raise ServiceError("llm: the reply is empty; ask again, or choose another model")
        result.reasoning, result.finish_reason = reasoning_of(message), finish_reason_of(message)
        if note := ending_note(result.finish_reason):
            result.notes.append(note)
        if left_out := message.additional_kwargs.get("left_out"):
            result.notes.append(f"parts of the reply that are no text were left out: {', '.join(left_out)}")
        with timed("verify"):
            chunks = [to_chunk(node.node) for node in prompted.supplied]
            cited = verify(reply, chunks, functools.cache(self._stored_text))
        result.answer, result.citations = cited.answer, cited.citations
        if abstains(cited.answer) and (scores := raw_scores(result.found)):
            result.notes.append(f"no answer was found; {scores}")
        if result.unverified:
            result.notes.append(
                f"{result.unverified} of {len(result.citations)} citations have no quote that is in the document"
            )

    @staticmethod
    def _around(stored_text: Callable[[str], str | None], reach: int, chunk: Chunk) -> tuple[str, str]:
        """Return the characters before and after a chunk.

        None where the document no longer reads as it did.
        """
        text = stored_text(chunk.document)
        if text is None or text[chunk.start : chunk.end] != chunk.text:
            return "", ""
        return text[max(0, chunk.start - reach) : chunk.start], text[chunk.end : chunk.end + reach]

    def _stored_text(self, document: str) -> str | None:
        try:
            return self._document(document).text
        except DataError:
            return None  # counted: its citations are unverified, and the result says so

    def _stream(self, bundle: QueryBundle) -> StreamingResponse:
        """Stream a reply; metadata is filled after the last piece."""
        metadata: dict[str, Any] = {}
        with collect() as timings, collect_usage() as usage:
            with timed("total"):
                result = self._search(bundle)
                prompted = self._fill(bundle, result)
            context = contextvars.copy_context()  # each piece adds to these timings and this usage, in any thread

        def pieces() -> Generator[str, None, None]:
            if prompted is None:
                self._say_no_answer(result)
                yield result.answer or ""
            else:
                replies = context.run(self._llm.stream_chat, prompted.messages)
                last, shown = None, Shown()
                while (reply := context.run(_timed_next, replies)) is not None:
                    last = reply
                    yield shown.piece(reply)
                context.run(self._verify, _complete(last), prompted, result)
            result.timings_ms, result.usage = dict(timings), usage
            metadata.update(_metadata(result))

        return StreamingResponse(response_gen=pieces(), source_nodes=result.nodes, metadata=metadata)

    @property
    def _llm(self) -> LLM:
        if self._writer is None:
            raise ConfigError("llm: this engine was built to search only; build it with answering=True")
        return self._writer

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def _timed_next(replies: Iterator[ChatResponse]) -> ChatResponse | None:
    with timed("llm"), timed("total"):
        return next(replies, None)


def _complete(last: ChatResponse | None) -> ChatResponse:
    if last is None:
        raise ServiceError("llm: the reply stream ended before it began; ask again")
    return last


def _metadata(result: QueryResult) -> dict[str, Any]:
    embedding, llm = result.usage.tokens("embedding"), result.usage.tokens("llm")
    return {
        "answer": result.answer,
        "reasoning": result.reasoning,
        "finish_reason": result.finish_reason,
        "citations": [asdict(citation) for citation in result.citations],
        "timings_ms": result.timings_ms,
        "usage": {"embedding": asdict(embedding), "llm": asdict(llm)},
        "notes": result.notes,
    }


def _response(result: QueryResult) -> Response:
    return Response(response=result.answer, source_nodes=result.nodes, metadata=_metadata(result))
