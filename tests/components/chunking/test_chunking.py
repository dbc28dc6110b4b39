import hashlib
import inspect
import itertools
import json
from typing import Any

import numpy as np
import pytest
import tiktoken
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chunkers import (
    BOUNDED,
    FORMATS,
    OPTIONS,
    SEMANTIC,
    TEXTS,
    LetterEmbedding,
    check_exact,
    chunkers,
    document,
    texts_of,
)
from messages import wording
from messages.config import did_you_mean, less_than
from messages.embedding import unknown_tokenizer
from places import ROOT, TESTS
from ragloom.components import chunking
from ragloom.components.chunking import semantic_chunker, structural_units
from ragloom.components.chunking.fixed_chunker import token_windows
from ragloom.components.chunking.token_counts import TokenCounter
from ragloom.config.key_rules import key_problems
from ragloom.core import tokenizers
from ragloom.core.outline import Outline
from ragloom.core.tokenizers import load
from ragloom.errors import ConfigError

GOLDEN = TESTS / "golden" / "chunking.json"
PROPERTY = settings(max_examples=150, deadline=None)
CL100K = load("cl100k_base")


def _touched(text: str) -> list[tuple[int, int]]:
    """First character of each token and the one after its last, tokens that share a character included."""
    encoding = tiktoken.get_encoding(CL100K.name)
    raw, spans = b"", []
    for token in encoding.encode_ordinary(text):
        first = len(raw.decode("utf-8", "ignore"))
        raw += encoding.decode_single_token_bytes(token)
        spans.append((first, len(raw.decode("utf-8", "replace"))))
    return spans


def _tokens_in(spans: list[tuple[int, int]], start: int, end: int) -> int:
    return sum(first < end and last > start for first, last in spans) if start < end else 0


# What every option promises


@pytest.mark.parametrize("option", OPTIONS)
@PROPERTY
@given(text=TEXTS, format=FORMATS, overlap=st.sampled_from([0, 6, 23]))
@example(text="", format=None, overlap=6)
@example(text="a", format=None, overlap=23)
@example(text="각", format="markdown", overlap=0)
@example(text=" \r\n\t\u3000\f", format="pdf", overlap=6)
@example(text="\u200b", format=None, overlap=6)
def test_every_chunk_is_an_exact_span_and_no_character_is_lost(
    option: str, text: str, format: str | None, overlap: int
) -> None:
    """TRAPS 15: offsets are computed while cutting, so that repeated passages have their own."""
    check_exact(text, list(chunkers(overlap=overlap)[option].chunks(document(text, format))))


@pytest.mark.parametrize("option", OPTIONS)
def test_repeated_passages_have_the_offsets_of_their_own_place(option: str) -> None:
    """TRAPS 15: LlamaIndex gave 17 of 18 chunks of repeated text the wrong offsets."""
    text = "The same passage, again. " * 40
    nodes = chunkers()[option].get_nodes_from_documents([document(text)])
    assert len(nodes) > 5
    assert all(text[node.start_char_idx : node.end_char_idx] == node.text for node in nodes)
    starts = [node.start_char_idx for node in nodes]
    assert starts == sorted(set(starts))
    assert nodes[-1].end_char_idx >= len(text.rstrip())


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("text", ["", " ", "\n\n\r\n", "\t\u3000\u00a0\f", " " * 10_000])
def test_a_blank_document_gives_no_chunk(option: str, text: str) -> None:
    """TRAPS 17: LlamaIndex makes one empty node, which is then embedded; a double-merging parser crashes."""
    assert chunkers()[option].get_nodes_from_documents([document(text)]) == []


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("text", ["a", "각", "👩‍👩‍👧‍👦", "짧은 글.", "Shorter than the overlap."])
def test_a_document_shorter_than_the_overlap_is_not_lost(option: str, text: str) -> None:
    """TRAPS 34: documents shorter than the overlap vanished."""
    (node,) = chunkers(size=64, overlap=60)[option].get_nodes_from_documents([document(text)])
    assert node.text == text


@pytest.mark.parametrize("option", OPTIONS)
@PROPERTY
@given(text=TEXTS, format=FORMATS)
def test_metadata_never_changes_the_cut(option: str, text: str, format: str | None) -> None:
    """TRAPS 19: metadata counted into the chunk size; 400 characters of it turned 8 chunks into 38."""
    parser = chunkers()[option]
    plain = list(parser.chunks(document(text, format)))
    laden = list(parser.chunks(document(text, format, title="제목 " * 200, page=7, tags=["a", {"b": 1}])))
    assert [(chunk.start, chunk.end) for chunk in laden] == [(chunk.start, chunk.end) for chunk in plain]
    assert list(parser.spans(text, format)) == [(chunk.start, chunk.end) for chunk in plain]


@pytest.mark.parametrize("option", OPTIONS)
def test_ids_are_stable_and_say_what_made_them(option: str) -> None:
    text = "하나. 둘. 셋.\n\n" * 30
    ids = [chunk.id for chunk in chunkers()[option].chunks(document(text))]
    assert ids == [chunk.id for chunk in chunkers()[option].chunks(document(text))]
    assert not set(ids) & {chunk.id for chunk in chunkers()[option].chunks(document(text, author="x"))}
    assert not set(ids) & {chunk.id for chunk in chunkers()[option].chunks(document(text + "!"))}


@pytest.mark.parametrize("option", BOUNDED)
@PROPERTY
@given(text=TEXTS, format=FORMATS, size=st.sampled_from([4, 5, 9, 24, 100]), overlap=st.sampled_from([0, 3, 8]))
def test_no_chunk_exceeds_its_size_when_tokenised_alone(
    option: str, text: str, format: str | None, size: int, overlap: int
) -> None:
    """TRAPS 17: a semantic splitter without a largest size made one node of 482,879 tokens."""
    assume(overlap < size)
    parser = chunkers(size, overlap)[option]
    assert all(CL100K.count(chunk) <= size for chunk in texts_of(parser, text, format))
    assert parser.oversized == 0


@pytest.mark.parametrize("option", BOUNDED)
@PROPERTY
@given(text=TEXTS, format=FORMATS)
def test_overlap_is_within_what_was_asked(option: str, text: str, format: str | None) -> None:
    spans = list(chunkers(24, 8)[option].spans(text, format))
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert CL100K.count(text[start:end] if start < end else "") <= 8


@pytest.mark.parametrize("option", OPTIONS)
def test_texts_without_a_break_are_cut_in_time(option: str) -> None:
    """TRAPS 38: a million blanks or letters, which some tokenizer, pattern or sentence splitter takes for ever over."""
    for run in (" ", "a", "가", "a b. "):
        text = "x" + run * (200_000 // len(run)) + "y"
        spans = list(chunkers(256, 0)[option].spans(text, "markdown"))
        assert spans[0][0] == 0
        assert spans[-1][1] == len(text)


# fixed


@settings(max_examples=500, deadline=None)
@given(text=TEXTS, size=st.sampled_from([4, 5, 8, 13, 40]), overlap=st.integers(0, 39))
@example(text="안녕하세요. 반갑습니다! 동해물과 백두산이 마르고 닳도록", size=5, overlap=0)
@pytest.mark.slow
def test_fixed_never_exceeds_its_size_and_keeps_its_overlap_as_the_document_is_tokenised(
    text: str, size: int, overlap: int
) -> None:
    """TRAPS 18, 38: 28 % of cl100k boundaries in Korean fall inside a character."""
    assume(overlap < size)
    tokens = _touched(text)
    windows = list(token_windows(CL100K, text, size, overlap))
    assert [start for start, _ in windows] == sorted({start for start, _ in windows})
    for start, end in windows:
        assert 0 < _tokens_in(tokens, start, end) <= size
    for (before, end), (start, _) in itertools.pairwise(windows):
        assert before < start <= end
        shared = _tokens_in(tokens, start, end)
        assert shared <= overlap
        if size - overlap >= 8 or start > before + 1:
            assert shared >= overlap - 3


@PROPERTY
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=300, max_size=3000))
def test_fixed_equals_decoded_windows_where_tokens_are_whole_characters(text: str) -> None:
    encoding = tiktoken.get_encoding(CL100K.name)
    tokens = encoding.encode_ordinary(text)
    expected = [encoding.decode(tokens[at : at + 24]) for at in range(0, max(len(tokens) - 6, 1), 24 - 6)]
    assert list(texts_of(chunkers(24, 6)["fixed"], text)) == expected


def test_fixed_cuts_a_long_document_as_a_short_one() -> None:
    """Documents over one encoded piece are cut as if they were encoded at once."""
    text = "".join(f"문장 {n}은 길다. The {n}th one is short! 👩‍👩‍👧\n" for n in range(5000))
    tokens = _touched(text[:30_000])
    assert len(text) > 2 * 65536
    windows = list(token_windows(CL100K, text, 64, 16))
    short = list(token_windows(CL100K, text[:30_000], 64, 16))
    assert windows[: len(short) - 2] == short[:-2]
    assert max(_tokens_in(tokens, *window) for window in windows[:200]) == 64
    check_exact(text, list(chunkers(64, 16)["fixed"].chunks(document(text))))


def test_fixed_cuts_a_text_in_pieces_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"문장 {n}은 길다. The {n}th one is short! 👩‍👩‍👧\n" for n in range(400))
    monkeypatch.setattr(tokenizers, "PIECE", 10**9)
    whole = {overlap: list(token_windows(CL100K, text, 32, overlap)) for overlap in (0, 8, 31)}
    monkeypatch.setattr(tokenizers, "PIECE", 700)
    assert len(list(CL100K.edges(text))) > 10
    for overlap, windows in whole.items():
        assert list(token_windows(CL100K, text, 32, overlap)) == windows


# paragraph


def _paragraphs(text: str, size: int = 24, overlap: int = 0, format: str | None = "markdown") -> list[str]:
    return list(texts_of(chunkers(size, overlap)["paragraph"], text, format))


def test_paragraph_packs_whole_paragraphs() -> None:
    one, two, three = "Alpha beta gamma delta.", "One two three four.", "End."
    both = f"{one}\n\n{two}"
    assert _paragraphs(f"{both}\n\n{three}", CL100K.count(both)) == [both, three]
    assert _paragraphs(f"{both}\n\n{three}", CL100K.count(both) - 1) == [one, f"{two}\n\n{three}"]


def test_paragraph_cuts_a_long_paragraph_at_sentences_then_at_tokens() -> None:
    """TRAPS 16: sentences end neither after "Dr.", "U.S." and "Fig.", nor only where a blank follows the full stop."""
    sentences = ["Dr. Kim of the U.S. drew Fig. 3 by hand.", "그는 웃었다.", "그리고 떠났다.", "你好，世界。", "再见。"]
    text = sentences[0] + " " + "".join(sentences[1:])
    longest = max(map(CL100K.count, sentences))
    chunks = _paragraphs(text, longest)
    assert chunks[0] == sentences[0]
    assert all(any(chunk.endswith(sentence) for sentence in sentences) for chunk in chunks)
    assert len(_paragraphs("한" * 500)) > 10


def test_paragraph_prefers_line_ends_and_blanks_when_a_sentence_is_too_long() -> None:
    lines = ["alpha beta gamma delta epsilon zeta eta theta", "one two three four five six seven eight nine"]
    assert _paragraphs("\n".join(lines), 16) == lines
    words = " ".join(f"word{n}" for n in range(100))
    assert " ".join(_paragraphs(words)) == words


def test_headings_stay_with_what_follows() -> None:
    body = "Some words that fill the chunk nearly up to its end, or so."
    text = f"{body}\n\n# A\n\n## B\n\nShort.\n\n# C\n\n{body}"
    chunks = _paragraphs(text, 20)
    assert chunks == [body, "# A\n\n## B\n\nShort.", f"# C\n\n{body}"]
    assert "# A\n\n## B\n\nShort." in _paragraphs(text, 18)


def test_a_heading_stays_with_the_first_sentence_of_a_long_paragraph() -> None:
    text = "# A heading\n\n" + "This is a sentence of some length. " * 10
    for option in BOUNDED:
        first = next(texts_of(chunkers(24, 0)[option], text, "markdown"))
        assert first.startswith("# A heading\n\nThis is a sentence")


@pytest.mark.parametrize("option", BOUNDED)
def test_tables_and_code_that_fit_are_not_cut(option: str) -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
    code = "```python\nx = 1. \n\n# no heading. Nor a sentence.\ny = 2\n```"
    filler = "Some words before it. And more words. "
    text = f"{filler * 3}\n\n{table}\n\n{filler * 2}\n\n# H\n{code}\n\n{filler}"
    size = max(CL100K.count(table), CL100K.count(f"# H\n{code}"))
    chunks = list(texts_of(chunkers(size, 0)[option], text, "markdown"))
    assert any(table in chunk for chunk in chunks)
    assert any(f"# H\n{code}" in chunk for chunk in chunks)


def test_a_table_that_does_not_fit_is_cut_at_rows() -> None:
    rows = [f"| row {n} | value {n} |" for n in range(40)]
    chunks = _paragraphs("| a | b |\n|---|---|\n" + "\n".join(rows), 40)
    assert len(chunks) > 5
    assert all(chunk.startswith("|") and chunk.endswith("|") for chunk in chunks)


def test_paragraph_repeats_whole_units() -> None:
    paragraphs = [f"Paragraph number {n}." for n in range(10)]
    chunks = _paragraphs("\n\n".join(paragraphs), 16, 6)
    assert chunks[0] == "\n\n".join(paragraphs[:3])
    assert chunks[1] == "\n\n".join(paragraphs[2:5])


# semantic and hybrid

_VARIED = " ".join(f"S{hashlib.sha256(bytes([n])).hexdigest()[: n % 9 + 2]}." for n in range(60))


def test_semantic_cuts_where_the_meaning_changes() -> None:
    text = "aaa aa aaaa. aa aaa aa. aaaa aa aa. " + "zzz zz zzzz. zz zzz zz. zzzz zz zz. "
    parser = chunkers(100, 0, min_size=1, threshold="fixed", threshold_value=0.2, buffer_size=0)["semantic"]
    assert list(texts_of(parser, text)) == [
        "aaa aa aaaa. aa aaa aa. aaaa aa aa.",
        "zzz zz zzzz. zz zzz zz. zzzz zz zz.",
    ]


@pytest.mark.parametrize(("threshold", "few", "many"), [("percentile", 95.0, 20.0), ("standard_deviation", 2.0, -1.0)])
def test_a_lower_threshold_cuts_more(threshold: str, few: float, many: float) -> None:
    text = _VARIED
    counts = [
        len(list(chunkers(500, 0, min_size=1, threshold=threshold, threshold_value=value)["semantic"].spans(text)))
        for value in (few, many)
    ]
    assert 1 < counts[0] < counts[1]


def test_semantic_chunks_have_at_least_the_minimum_size() -> None:
    text = _VARIED
    parser = chunkers(80, 0, min_size=30, threshold="fixed", threshold_value=0.0)["semantic"]
    sizes = [CL100K.count(chunk) for chunk in texts_of(parser, text)]
    assert len(sizes) > 5
    assert min(sizes) >= 29  # the blank before a sentence belongs to its first token, and is not in the chunk


def test_hybrid_embeds_only_paragraphs_that_are_too_long() -> None:
    embedding = LetterEmbedding()
    embedding.seen = []
    parser = chunking.hybrid(embedding, chunk_size=24, chunk_overlap=0, **SEMANTIC)
    assert list(texts_of(parser, "Short one.\n\nShort two.\n\nShort three.")) == [
        "Short one.\n\nShort two.\n\nShort three."
    ]
    assert embedding.seen == []
    long = "Long sentence number one goes here. " * 3 + "zzzz zzz zzz zzzz zz zzzzz zzzz. " * 3
    chunks = list(texts_of(parser, f"Short one.\n\n{long}\n\nShort two."))
    assert embedding.seen
    assert not any("Short" in text for text in embedding.seen)
    assert (chunks[0], chunks[-1]) == ("Short one.", "Short two.")


@pytest.mark.parametrize("option", ["semantic", "hybrid"])
def test_windows_over_the_embeddings_own_limit_are_shortened(option: str) -> None:
    embedding = LetterEmbedding(max_tokens=20)
    embedding.seen = []
    text = "A sentence that is longer than twenty characters. Ok. " * 10
    parser = getattr(chunking, option)(embedding, chunk_size=64, chunk_overlap=0, **SEMANTIC)
    check_exact(text, list(parser.chunks(document(text))))
    assert embedding.seen
    assert max(map(len, embedding.seen)) <= 20


@pytest.mark.parametrize("buffer_size", [0, 1, 3])
def test_semantic_embeds_each_sentence_once_and_compares_weighted_means(
    buffer_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semantic_chunker, "UNITS_AT_ONCE", 4)  # so that windows reach over several batches
    embedding = LetterEmbedding()
    embedding.seen = []
    parser: Any = chunking.semantic(
        embedding, chunk_size=200, chunk_overlap=0, **{**SEMANTIC, "buffer_size": buffer_size}
    )
    counter = TokenCounter(CL100K, _VARIED, 200)
    units = list(structural_units.parts(next(structural_units.items(Outline(_VARIED, None), counter)), counter))
    distances = parser.distances(units, counter)
    texts = [_VARIED[unit.start : unit.end] for unit in units]
    assert embedding.seen == texts
    weights = [counter.estimate(unit.start, unit.end) for unit in units]
    vectors = np.array([embedding.get_text_embedding(text) for text in texts])
    vectors *= np.array(weights)[:, None] / np.linalg.norm(vectors, axis=1, keepdims=True)
    windows = [vectors[max(0, at - buffer_size) : at + buffer_size + 1].sum(axis=0) for at in range(len(units))]
    directions = [window / np.linalg.norm(window) for window in windows]
    expected = [1 - before @ after for before, after in itertools.pairwise(directions)]
    np.testing.assert_allclose(distances, expected, atol=1e-12)


def test_texts_without_features_are_at_distance_one_from_all_others() -> None:
    class NoFeatures(LetterEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return [0.0] * 8 if "!" in text else super()._get_text_embedding(text)

    parser = chunking.semantic(
        NoFeatures(),
        chunk_size=100,
        chunk_overlap=0,
        **{**SEMANTIC, "buffer_size": 0, "min_size": 0, "threshold": "fixed", "threshold_value": 0.99},
    )
    assert list(texts_of(parser, "Aaa aa. Aa aaa. !!! Aaa aa. Aaa.")) == ["Aaa aa. Aa aaa.", "!!!", "Aaa aa. Aaa."]


# metadata


def test_chunks_carry_the_page_they_begin_on() -> None:
    text = "page one\n\fpage two has more\n\f\f\n page four"
    found = {
        chunk.text.strip(): chunk.metadata["page"]
        for chunk in chunkers(5, 0)["paragraph"].chunks(document(text, "pdf"))
    }
    assert found == {"page one": 1, "page two has more": 2, "page four": 4}


def test_chunks_carry_the_heading_path_and_a_documents_own_keys_win() -> None:
    text = "intro\n\n# A\n\ntext\n\n## B\n\n" + "more words. " * 20
    chunks = list(chunkers()["fixed"].chunks(document(text, "markdown")))
    assert "heading" not in chunks[0].metadata
    assert chunks[-1].metadata["heading"] == "A > B"
    own = list(chunkers()["fixed"].chunks(document(text, "markdown", heading="mine", page="ii")))
    assert {(chunk.metadata["heading"], chunk.metadata["page"]) for chunk in own} == {("mine", "ii")}


# config


def _yaml_values(option: str) -> dict[str, Any]:
    from omegaconf import OmegaConf

    file = ROOT / "conf" / "chunking" / f"{option}.yaml"
    values: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(file))  # type: ignore[assignment]
    assert values.pop("_target_") == f"ragloom.components.chunking.{option}"
    return values


BUILDERS = ("fixed", "recursive", "paragraph", "semantic", "hybrid")


def _given(option: str) -> list[LetterEmbedding]:
    return [LetterEmbedding()] if option in {"semantic", "hybrid"} else []


@pytest.mark.parametrize("option", BUILDERS)
def test_defaults_build_and_cut_korean_and_english(option: str) -> None:
    parser = getattr(chunking, option)(*_given(option), **_yaml_values(option))
    text = "동해물과 백두산이 마르고 닳도록 하느님이 보우하사. We hold these truths to be self-evident. " * 60
    chunks = list(parser.chunks(document(text)))
    check_exact(text, chunks)
    assert len(chunks) > 5


@pytest.mark.parametrize("option", BUILDERS)
def test_overlap_must_be_less_than_the_size(option: str) -> None:
    """TRAPS 18: overlap equal to the size is accepted and behaves as size - 1."""
    values = _yaml_values(option) | {"chunk_size": 64, "chunk_overlap": 64}
    (problem,) = key_problems(getattr(chunking, option), values)
    assert problem.startswith("chunking: " + less_than("chunk_overlap=64", "chunk_size=64") + "; ")
    with pytest.raises(ConfigError, match=wording(less_than("chunk_overlap=64", ""))):
        getattr(chunking, option)(*_given(option), **values)
    assert key_problems(getattr(chunking, option), values | {"chunk_overlap": 63}) == []


@pytest.mark.parametrize("option", BUILDERS)
def test_the_size_must_hold_any_character(option: str) -> None:
    values = _yaml_values(option) | {"chunk_size": 3, "chunk_overlap": 0}
    values |= {"min_size": 0} if "min_size" in values else {}
    values |= {"length": "cl100k_base"} if "length" in values else {}
    expected = ["chunking: chunk_size=3 must be at least 4, the tokens of one character; raise it"]
    assert key_problems(getattr(chunking, option), values) == expected
    assert key_problems(getattr(chunking, option), values | {"chunk_size": 4}) == []


def test_sizes_in_characters_may_be_small() -> None:
    assert key_problems(chunking.recursive, _yaml_values("recursive") | {"chunk_size": 1, "chunk_overlap": 0}) == []


@pytest.mark.parametrize("option", ["semantic", "hybrid"])
def test_all_problems_between_keys_are_named_at_once(option: str) -> None:
    wrong = {"chunk_size": 3, "chunk_overlap": 3, "min_size": 5, "threshold": "fixed", "threshold_value": 80.0}
    problems = key_problems(getattr(chunking, option), _yaml_values(option) | wrong)
    assert [problem.split(" must")[0] for problem in problems] == [
        "chunking: chunk_overlap=3",
        "chunking: min_size=5",
        "chunking: threshold_value=80.0",
        "chunking: chunk_size=3",
    ]


def test_an_empty_separator_must_be_last() -> None:
    (problem,) = key_problems(chunking.recursive, _yaml_values("recursive") | {"separators": ["", " "]})
    assert problem.startswith("chunking: separators=['', ' '] must have the empty one last")


@pytest.mark.parametrize("option", BUILDERS)
def test_an_unknown_tokenizer_is_named(option: str) -> None:
    key = "length" if option == "recursive" else "tokenizer"
    (problem,) = key_problems(getattr(chunking, option), _yaml_values(option) | {key: "cl100k"})
    assert problem.startswith("chunking: " + unknown_tokenizer("cl100k") + "cl100k_base or o200k_base")
    assert problem.endswith(did_you_mean("cl100k_base"))


# identity

_GOLDEN_TEXTS = (
    (
        "markdown",
        "# 안내\n\nDr. Kim said hello. "
        + "그는 웃었다. 그리고 떠났다.你好。" * 12
        + "\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    ),
    (
        "markdown",
        "Two\nlines\n=====\n\n<!--\n# not shown\n-->\n\n> # Quoted\n> text\n\n- ```\n  # code\n  ```\n\nThe end.\n",
    ),
    ("pdf", "Page one. It ends.\n\fPage two. " + "The same passage. " * 30),
    (None, "👩‍👩‍👧‍👦 e\u0301\r\n\r\n" + "word " * 90 + "\n- item one\n- item two\n"),
)


def _digest(option: str) -> str:
    parsers = [parser for name, parser in chunkers().items() if name.split()[0] == option]
    chunks = [
        [chunk.id, chunk.start, chunk.end, chunk.metadata]
        for parser in parsers
        for format, text in _GOLDEN_TEXTS
        for chunk in parser.chunks(document(text, format))
    ]
    return hashlib.sha256(json.dumps(chunks, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("option", BUILDERS)
def test_chunking_output_is_bound_to_its_code_version(option: str) -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    found = {"code_version": getattr(chunking, option).code_version, "digest": _digest(option)}
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))[option]


@pytest.mark.parametrize("option", BUILDERS)
def test_yaml_and_builder_have_the_same_keys(option: str) -> None:
    parameters = inspect.signature(getattr(chunking, option)).parameters.values()
    keys = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert keys == set(_yaml_values(option))
