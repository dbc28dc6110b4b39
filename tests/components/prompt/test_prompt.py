"""Prompts: language by script, passages whole or not at all, numbers that match what was supplied."""

import pytest
from llama_index.core.schema import NodeWithScore

from ragloom.components.prompt.base import Prompt
from ragloom.config.config import build, load
from ragloom.core.nodes import to_node
from ragloom.core.prompt_and_reply import PassageBlock, QuestionBlock, language_of
from ragloom.core.records import Chunk
from ragloom.core.tokenizers import load as tokenizer
from ragloom.errors import ConfigError


def prompt(*overrides: str) -> Prompt:
    (config,) = load(list(overrides))
    made: Prompt = build(config, "prompt")
    return made


def node(text: str, **metadata: object) -> NodeWithScore:
    return NodeWithScore(node=to_node(Chunk(text, "doc.md", "h", 0, len(text), text, dict(metadata))), score=1.0)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("How long?", "en"),
        ("얼마나 걸리나요?", "ko"),
        ("Ragloom의 chunking 옵션은?", "ko"),
        ("¿Qué?", "en"),
        ("ㅇㅇ", "ko"),
    ],
)
def test_language_is_that_of_the_questions_script(question: str, language: str) -> None:
    assert language_of(question) == language
    filled = prompt().fill(question, [node("text")])
    assert filled.language == language
    system = filled.messages[0].content or ""
    assert ("번호가" in system) == (language == "ko")


def test_language_that_is_set_wins() -> None:
    assert prompt("prompt.language=ko").fill("How long?", [node("text")]).language == "ko"


def test_passages_are_numbered_as_they_are_supplied_and_name_their_place() -> None:
    filled = prompt().fill("q", [node("first", page=3), node("second", heading="A > B")])
    blocks = filled.messages[1].blocks
    assert [block.number for block in blocks if isinstance(block, PassageBlock)] == [1, 2]
    assert blocks[0].text == "[1] doc.md, p. 3\nfirst\n"  # type: ignore[union-attr]
    assert blocks[1].text == "[2] doc.md, A > B\nsecond\n"  # type: ignore[union-attr]
    assert isinstance(blocks[-1], QuestionBlock)
    assert "second" in (filled.messages[1].content or "")  # any LlamaIndex LLM reads the blocks as text


def test_plain_prompt_shows_passages_as_they_are() -> None:
    filled = prompt("prompt=plain").fill("q", [node("first", page=3), node("second")])
    assert [block.text for block in filled.messages[1].blocks][:2] == ["first\n", "second\n"]  # type: ignore[union-attr]


def test_chunk_that_does_not_fit_is_left_out_whole_and_a_later_one_that_fits_is_taken() -> None:
    long, short = node("word " * 500), node("short")
    filled = prompt("prompt.max_context_tokens=100").fill("q", [short, long, node("also short")])
    assert [item.node.get_content() for item in filled.supplied] == ["short", "also short"]
    numbers = [block.number for block in filled.messages[1].blocks if isinstance(block, PassageBlock)]
    assert numbers == [1, 2]


def test_supplied_passages_stay_within_the_budget() -> None:
    filled = prompt("prompt.max_context_tokens=50").fill(
        "q", [node(f"passage number {n} has words") for n in range(20)]
    )
    passages = [block.text for block in filled.messages[1].blocks if isinstance(block, PassageBlock)]
    assert 0 < sum(map(tokenizer("cl100k_base").count, passages)) <= 50


def test_budget_below_the_shortest_chunk_is_an_error_not_an_empty_prompt() -> None:
    with pytest.raises(ConfigError, match="prompt.max_context_tokens=5"):
        prompt("prompt.max_context_tokens=5").fill("q", [node("word " * 50)])
