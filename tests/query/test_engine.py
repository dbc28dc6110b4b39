"""The query engine: a checked answer, an honest none, LlamaIndex's own interface."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import QueryBundle

from fakes import FakeIndex, LetterEmbedding, chunk
from messages.evaluation import no_answer_found
from ragloom.components import reranker, retriever
from ragloom.components.analyzer import multilingual
from ragloom.components.llm.extractive_llm import SentenceLLM
from ragloom.components.prompt.base import Prompt
from ragloom.core.prompt_and_reply import NO_ANSWER
from ragloom.errors import DataError, ServiceError
from ragloom.query.engine import CitedQueryEngine

EN = "The frame is covered for ten years. Wear parts are covered for six months."
KO = "프레임의 보증 기간은 10년입니다. 소모품의 보증 기간은 6개월입니다."
DOCUMENTS = {"en.md": f"Intro. {EN}", "ko.md": KO}
CHUNKS = [chunk("en.md", 7, EN), chunk("ko.md", 0, KO)]


class Scripted(MockLLM):
    """Replies what it is scripted to."""

    reply: str = ""

    def __init__(self, reply: str) -> None:
        super().__init__()
        self.reply = reply

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=self.reply))


def document(name: str) -> Any:
    if name not in DOCUMENTS:
        raise DataError(f"index: {name} is not there")
    return SimpleNamespace(id=name, text=DOCUMENTS[name], metadata={})


def engine(llm: Any = None, *, min_score: float | None = None, streaming: bool = False) -> CitedQueryEngine:
    index = FakeIndex(CHUNKS)
    return CitedQueryEngine(
        retriever.bm25(index, top_k=5, filters=None, min_score=min_score),
        reranker.none(top_n=5),
        Prompt({"en": "Answer.", "ko": "답하세요."}, "auto", 1000, "cl100k_base", numbered=True),
        llm or SentenceLLM(multilingual(), max_sentences=1),
        document,
        streaming=streaming,
    )


@pytest.mark.parametrize(
    ("question", "answer", "name"),
    [
        ("How long is the frame covered?", "The frame is covered for ten years.", "en.md"),
        ("프레임 보증 기간은 얼마인가요?", "프레임의 보증 기간은 10년입니다.", "ko.md"),
    ],
)
def test_answer_cites_characters_of_the_stored_document(question: str, answer: str, name: str) -> None:
    result = engine().answer(question)
    assert result.answer == f"{answer} [1]"
    (citation,) = result.citations
    assert citation.verified
    assert citation.document == name
    assert DOCUMENTS[name][citation.start : citation.end] == citation.quote == answer
    assert result.unverified == 0


def test_invented_citations_are_counted_and_noted() -> None:
    result = engine(Scripted(reply='Ten [1], or nine [4].\n\n[1] "is covered for nine years"')).answer("frame covered?")
    assert [citation.verified for citation in result.citations] == [False, False]
    assert result.unverified == 2
    assert any("2 of 2 citations" in note for note in result.notes)


@pytest.mark.parametrize(("question", "language"), [("frame covered?", "en"), ("프레임 보증?", "ko")])
def test_no_candidate_above_min_score_says_so_in_the_questions_language(question: str, language: Any) -> None:
    result = engine(Scripted(reply="never asked"), min_score=1000.0).answer(question)
    assert result.answer == NO_ANSWER[language]
    assert result.citations == ()
    assert result.nodes == []
    assert any("min_score" in note for note in result.notes)


def test_empty_reply_is_an_error_not_an_answer() -> None:
    with pytest.raises(ServiceError, match="empty"):
        engine(Scripted(reply="  ")).answer("frame?")


def test_error_of_the_llm_is_raised_not_swallowed() -> None:
    """TRAPS 23."""

    class Broken(MockLLM):
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        engine(Broken()).answer("frame?")
    with pytest.raises(ValueError, match="boom"):
        engine(Broken()).query("frame?")


def test_query_returns_a_llama_index_response_with_sources_and_citations() -> None:
    response = engine().query("How long is the frame covered?")
    assert str(response) == "The frame is covered for ten years. [1]"
    assert response.source_nodes[0].node.ref_doc_id == "en.md"
    assert response.metadata is not None
    assert response.metadata["citations"][0]["verified"]


def test_async_query_gives_the_same_as_sync() -> None:
    made = engine()
    sync, later = made.query("frame covered?"), asyncio.run(made.aquery("frame covered?"))
    assert str(sync) == str(later)
    assert sync.metadata is not None
    assert later.metadata is not None
    assert sync.metadata["citations"] == later.metadata["citations"]
    assert {"retrieve", "rerank", "prompt", "llm", "verify", "total"} <= set(later.metadata["timings_ms"])


def test_streaming_query_streams_and_checks_at_the_end() -> None:
    response = engine(streaming=True).query("How long is the frame covered?")
    assert isinstance(response, StreamingResponse)
    assert response.metadata == {}
    text = "".join(response.response_gen)
    assert text.startswith("The frame is covered")
    assert response.metadata is not None
    assert response.metadata["citations"][0]["verified"]
    assert {"retrieve", "llm", "verify", "total"} <= set(response.metadata["timings_ms"])
    assert set(response.metadata["usage"]) == {"embedding", "llm"}


def test_streamed_no_answer_is_said_too() -> None:
    pieces: list[str] = []
    engine(min_score=1000.0).answer("frame?", on_text=pieces.append)
    assert "".join(pieces) == NO_ANSWER["en"]


def test_streamed_answer_equals_the_whole_one() -> None:
    pieces: list[str] = []
    streamed = engine().answer("How long is the frame covered?", on_text=pieces.append)
    assert len(pieces) > 3
    assert streamed.answer == engine().answer("How long is the frame covered?").answer
    assert streamed.citations[0].verified


def test_timings_name_every_stage() -> None:
    timings = engine().answer("frame covered?").timings_ms
    assert {"retrieve", "rerank", "prompt", "llm", "verify", "total"} <= set(timings)
    assert timings["total"] >= timings["retrieve"]


def test_search_stops_before_the_llm() -> None:
    result = engine(Scripted(reply="never asked")).search("frame covered?")
    assert result.answer is None
    assert [node.node.ref_doc_id for node in result.nodes] == ["en.md"]
    assert result.found[result.nodes[0].node.node_id][0] == 1


def test_question_may_bring_its_embedding() -> None:
    embedding = LetterEmbedding()
    index = FakeIndex(CHUNKS, embedding)
    made = CitedQueryEngine(
        retriever.dense(index, embedding, top_k=2, filters=None, min_score=None),
        reranker.none(top_n=2),
        Prompt({"en": "", "ko": ""}, "auto", 1000, "cl100k_base", numbered=True),
        SentenceLLM(multilingual(), max_sentences=1),
        document,
    )
    made.search(QueryBundle("frame", embedding=[1.0] * 26))
    assert embedding.queries == []


def test_question_is_embedded_once_for_retriever_and_reranker() -> None:
    """A paid embedding would be paid twice."""
    from loopback import OpenAIServer
    from made import make

    with OpenAIServer(dimensions=26) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-of-a-test")
        embedding = make("embedding", "openai", base_url=server.base_url, dimensions=26)
        index = FakeIndex(CHUNKS)
        made = CitedQueryEngine(
            retriever.dense(index, embedding, top_k=2, filters=None, min_score=None),
            reranker.mmr(embedding, index, top_n=2, relevance_weight=0.5),
            Prompt({"en": "", "ko": ""}, "auto", 1000, "cl100k_base", numbered=True),
            SentenceLLM(multilingual(), max_sentences=1),
            document,
        )
        assert len(made.search("frame").nodes) == 2
        assert len(server.requests) == 1
        made.search("another question")
        assert len(server.requests) == 2


def test_malformed_reply_of_the_reranking_llm_is_told() -> None:
    index = FakeIndex(CHUNKS)
    made = CitedQueryEngine(
        retriever.dense(index, LetterEmbedding(), top_k=2, filters=None, min_score=None),
        reranker.llm(
            Scripted("I like them all."),
            top_n=2,
            window_size=5,
            window_step=2,
            passage_tokens=50,
            tokenizer="cl100k_base",
        ),
        Prompt({"en": "", "ko": ""}, "auto", 1000, "cl100k_base", numbered=True),
        None,
        document,
    )
    assert made.search("frame").notes == ["reranker: 1 malformed replies"]


def test_answer_that_finds_none_comes_with_the_raw_scores_of_the_best_matches() -> None:
    result = engine(Scripted(reply="I do not know.")).answer("frame covered?")
    (note,) = result.notes
    best = max(getattr(node, "bm25_score", 0.0) for _, node in result.found.values())
    assert note == no_answer_found("no cosine similarity", f"{best:.4f}")
    assert not any("raw scores" in note for note in engine(Scripted(reply="Ten.")).answer("frame covered?").notes)
