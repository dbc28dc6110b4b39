"""llm=extractive: an answer of the passages' own sentences, or an honest none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, TextBlock

from ragloom.components.analyzer import multilingual
from ragloom.components.llm.extractive_llm import SentenceLLM, split_sentences
from ragloom.core.prompt_and_reply import NO_ANSWER, PassageBlock, QuestionBlock, language_of
from ragloom.core.records import Chunk
from ragloom.errors import ConfigError
from ragloom.query.citations import verify

WARRANTY = "# Warranty\n\nThe frame is covered for ten years. Wear parts are covered for six months.\n\nCall us."
HOURS = "| Station | Hours |\n|---|---|\n| Harbour | 7 to 22 |\n| Hill | 9 to 18 |"
KOREAN = "프레임의 보증 기간은 10년입니다. 소모품의 보증 기간은 6개월입니다.\n- 헬멧은 무료로 빌려 드립니다."


def ask(question: str, *passages: str, most: int = 1) -> str:
    blocks: list[TextBlock] = [
        PassageBlock(text=f"[{number}] x\n{passage}", number=number, passage=passage)
        for number, passage in enumerate(passages, start=1)
    ]
    blocks.append(QuestionBlock(text=question, question=question, language=language_of(question)))
    llm = SentenceLLM(multilingual(), max_sentences=most)
    return llm.chat([ChatMessage(role="user", blocks=blocks)]).message.content or ""


def test_answer_is_the_sentence_that_shares_most_with_the_question_and_cites_it() -> None:
    reply = ask("How long is the frame covered?", HOURS, WARRANTY)
    assert reply == 'The frame is covered for ten years. [2]\n\n[2] "The frame is covered for ten years."'


def test_korean_question_is_answered_from_korean() -> None:
    assert ask("프레임 보증 기간은 얼마인가요?", HOURS, KOREAN).startswith("프레임의 보증 기간은 10년입니다. [2]")


def test_table_row_is_a_sentence_of_its_own() -> None:
    assert ask("When is the Hill station open?", HOURS).startswith("| Hill | 9 to 18 | [1]")


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize("question", ["Where is the zebra?", "기린은 어디에 있나요?", "What is it?", "???"])
def test_question_that_shares_no_term_gets_no_answer_in_its_language(question: str) -> None:
    assert ask(question, WARRANTY, HOURS) == NO_ANSWER[language_of(question)]


def test_no_passage_gives_no_answer() -> None:
    assert ask("How long?") == NO_ANSWER["en"]


def test_repeated_sentence_is_quoted_once() -> None:
    reply = ask("How long is the frame covered?", WARRANTY, WARRANTY, most=3)
    assert reply.count("ten years") == 2  # in the answer and in its quote


def test_streamed_pieces_are_the_reply() -> None:
    llm = SentenceLLM(multilingual(), max_sentences=1)
    blocks = [
        PassageBlock(text=WARRANTY, number=1, passage=WARRANTY),
        QuestionBlock(text="q", question="How long is the frame covered?", language="en"),
    ]
    message = ChatMessage(role="user", blocks=blocks)
    pieces = list(llm.stream_chat([message]))
    assert "".join(piece.delta or "" for piece in pieces) == llm.chat([message]).message.content
    assert pieces[-1].message.content == llm.chat([message]).message.content


def test_bare_text_is_refused_not_answered_emptily() -> None:
    llm = SentenceLLM(multilingual(), max_sentences=1)
    with pytest.raises(ConfigError, match="llm=openai"):
        llm.complete("rank these")
    with pytest.raises(ConfigError, match="llm=openai"):
        llm.chat([ChatMessage(role="user", content="rank these")])


def test_headings_and_heads_of_tables_are_no_sentences() -> None:
    assert sentences(WARRANTY) == [
        "The frame is covered for ten years.",
        "Wear parts are covered for six months.",
        "Call us.",
    ]
    assert sentences(HOURS) == ["| Harbour | 7 to 22 |", "| Hill | 9 to 18 |"]


@given(st.text('ab. \n|#-가나"[]1', max_size=80), st.text("ab가나 ", min_size=1, max_size=10))
def test_every_citation_of_an_extracted_answer_is_verified(passage: str, question: str) -> None:
    reply = ask(question, passage, most=3)
    chunk = Chunk("i", "d", "h", 0, len(passage), passage)
    cited = verify(reply, [chunk], lambda _: passage)
    if reply not in NO_ANSWER.values():
        assert cited.citations
        assert all(citation.verified for citation in cited.citations), reply


LONG = "Bikes are lent at the harbour. The frame is covered for ten years\nfrom the day of purchase. Call us soon."


def blocks(*spans: tuple[int, int], text: str = LONG) -> list[TextBlock]:
    return [
        PassageBlock(
            text=text[start:end],
            number=number,
            passage=text[start:end],
            document="a.md",
            start=start,
            before=text[:start],
            after=text[end:],
        )
        for number, (start, end) in enumerate(spans, start=1)
    ]


def answer_from(passages: list[TextBlock], question: str = "How long is the frame covered?", most: int = 3) -> str:
    ask = QuestionBlock(text=question, question=question, language="en")
    llm = SentenceLLM(multilingual(), max_sentences=most)
    return llm.chat([ChatMessage(role="user", blocks=[*passages, ask])]).message.content or ""


CUT = LONG.index("ten")


@pytest.mark.parametrize("span", [(0, CUT), (CUT, len(LONG)), (CUT - 8, CUT + 3)], ids=["end", "start", "both"])
def test_sentence_cut_by_a_chunks_border_is_completed_and_cited_where_it_stands(span: tuple[int, int]) -> None:
    cited = verify(
        answer_from(blocks(span), "How many years is the frame covered?"),
        [Chunk("i", "a.md", "h", *span, LONG[slice(*span)])],
        lambda _: LONG,
    )
    assert cited.answer == "The frame is covered for ten years from the day of purchase. [1]"
    (citation,) = cited.citations
    assert citation.verified
    assert LONG[citation.start : citation.end] == "The frame is covered for ten years\nfrom the day of purchase."


def test_overlapping_chunks_give_a_sentence_once() -> None:
    reply = answer_from(blocks((0, CUT + 9), (CUT - 10, len(LONG))))
    assert reply.count("ten years") == 2  # in the answer and in its quote
    assert reply.count("[1]") == 2


def test_sentence_beside_a_chunk_is_not_quoted() -> None:
    assert answer_from(blocks((0, LONG.index("The"))), "frame covered ten years?") == NO_ANSWER["en"]


@given(st.text("ab. \n|#-가나", max_size=60), st.text("ab가나 ", min_size=1, max_size=6), st.data())
def test_every_citation_is_verified_wherever_chunks_are_cut(text: str, question: str, data: st.DataObject) -> None:
    edges = st.integers(0, len(text))
    spans = [tuple(sorted((data.draw(edges), data.draw(edges)))) for _ in range(3)]
    spans = [span for span in spans if span[0] < span[1]]
    reply = answer_from(blocks(*spans, text=text), question) if spans else NO_ANSWER["en"]
    chunks = [Chunk("i", "a.md", "h", *span, text[slice(*span)]) for span in spans]
    if reply != NO_ANSWER["en"]:
        found = verify(reply, chunks, lambda _: text).citations
        assert found
        assert all(citation.verified for citation in found), (reply, spans)
