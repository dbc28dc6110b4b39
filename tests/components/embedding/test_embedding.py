"""What every embedding option promises, and `hashing`; the models' own tests are in test_embedding_*.py."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.schema import MetadataMode, TextNode

import ragloom.components.embedding as builders
import ragloom.components.embedding.hashing_embedding as hashed
from embedding_tools import embed_chunks
from made import defaults, make
from messages import wording
from messages.config import at_least, at_most
from messages.embedding import (
    blank_text,
    characters,
    first_wrong_text,
    further_problems,
    located_too_long,
    not_finite_or_zero,
    text_place,
    too_many_tokens,
)
from messages.providers import key_itself, no_password_in_address
from places import ROOT, TESTS
from ragloom.components.embedding.base import Embedding, Vectors
from ragloom.config.key_rules import key_problems
from ragloom.core.nodes import to_node
from ragloom.core.records import Chunk, canonical_json, chunk_id, sha256
from ragloom.core.usage import collect_usage
from ragloom.errors import ConfigError, DataError, ServiceError
from ragloom.providers.batch_errors import RequestRefused

GOLDEN = TESTS / "golden" / "embedding.json"
SAMPLES = [
    "The frame is covered for ten years; wear parts for six months.",
    "프레임의 보증 기간은 10년입니다. 소모품의 보증 기간은 6개월입니다.",
    "東京タワーの高さは333メートル",
    "Größe, ﬁne, CAFÉ, snake_case, x",
    "👩‍👩‍👧‍👦 !?",
    "계약서를 계약서는 계약서",
]
texts = st.text(min_size=1).filter(lambda text: text.strip())


def hashing(**changed: Any) -> Embedding:
    return make("embedding", "hashing", **changed)


def chunk(text: str, start: int = 0, document: str = "a.md", **metadata: Any) -> Chunk:
    end = start + len(text)
    return Chunk(chunk_id(document, "h", start, end), document, "h", start, end, text, metadata)


class Measured(Embedding):
    """Vectors are (length of the text, 1); tokens are words; `sent` lists what was embedded."""

    sent: list[str]
    returns: Any = None

    def count_tokens(self, texts: Any) -> list[int]:
        return [len(text.split()) for text in texts]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        self.sent.extend(texts)
        if self.returns is not None:
            return np.array(self.returns, dtype=np.float32)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def measured(**fields: Any) -> Measured:
    keys: dict[str, Any] = {
        "model_name": "measured",
        "dimensions": 2,
        "max_tokens": 5,
        "embedded_metadata": ["heading"],
    }
    return Measured(**(keys | {"sent": []} | fields))


# What is sent.


@pytest.mark.parametrize("metadata", [{}, {"heading": "A > B"}, {"heading": " "}, {"page": 3}])
@pytest.mark.parametrize("text", ["text", "  indented\n\nends blank \n"])
def test_text_sent_for_a_chunk_is_what_llamaindex_reads_from_its_node(metadata: dict[str, Any], text: str) -> None:
    node = to_node(chunk(text, **metadata))
    assert hashing().document_text(text, metadata) == node.get_content(MetadataMode.EMBED)


def test_metadata_without_a_value_is_left_out() -> None:
    assert hashing().document_text("text", {"heading": None}) == "text"


def test_prefixes_are_put_before_documents_and_queries_only_there() -> None:
    embedding = measured(document_prefix="passage: ", query_prefix="query: ")
    embed_chunks(embedding, [chunk("text", heading="H")])
    embedding.get_query_embedding("ask")
    asyncio.run(embedding.aget_query_embedding("later"))
    embedding.get_text_embedding("plain")
    embedding.embed(["bare"])
    assert embedding.sent == ["passage: H\n\ntext", "query: ask", "query: later", "passage: plain", "bare"]
    assert embedding.document_text("text", {"heading": "H"}) == "passage: H\n\ntext"


def test_metadata_that_config_does_not_name_is_never_embedded() -> None:
    """TRAPS 36: LlamaIndex embeds all metadata, so that moving a file changes its vectors."""
    embedding = measured()
    nodes = [TextNode(text="hello", metadata={"file": path, "page": 3}) for path in ("x/y.pdf", "moved/y.pdf")]
    assert "x/y.pdf" in nodes[0].get_content(MetadataMode.EMBED), "else this test shows nothing"
    first, second = embedding(nodes)
    assert first.embedding == second.embedding
    assert embedding.sent == ["hello"], "equal texts are sent once"


def test_embedded_metadata_is_sent_in_the_order_of_the_config() -> None:
    embedding = measured(embedded_metadata=["title", "heading"])
    assert embedding.document_text("text", {"heading": "H", "title": "T", "x": "y"}) == "T\nH\n\ntext"


def test_pipeline_chunks_and_texts_get_the_same_vectors() -> None:
    chunks = [chunk(text, heading=f"H{at}") for at, text in enumerate(SAMPLES)]
    embedding = hashing()
    expected = embedding.embed([embedding.document_text(c.text, c.metadata) for c in chunks])
    nodes = [to_node(c) for c in chunks]
    np.testing.assert_array_equal(embed_chunks(embedding, chunks), expected)
    for made in (IngestionPipeline(transformations=[embedding], disable_cache=True).run(nodes=nodes), embedding(nodes)):
        np.testing.assert_array_equal(np.array([node.embedding for node in made], dtype=np.float32), expected)
    later = asyncio.run(embedding.acall([to_node(c) for c in chunks]))
    np.testing.assert_array_equal(np.array([node.embedding for node in later], dtype=np.float32), expected)


def test_vector_store_index_of_llamaindex_finds_with_it() -> None:
    nodes = [to_node(chunk(text, document=f"{at}.md")) for at, text in enumerate(SAMPLES)]
    index = VectorStoreIndex(nodes, embed_model=hashing())
    assert index.as_retriever(similarity_top_k=1).retrieve("계약서")[0].node.ref_doc_id == "5.md"


def test_llamaindex_events_fire_for_chunks_queries_and_nodes() -> None:
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event)

    dispatcher = get_dispatcher()
    handler = Handler()
    dispatcher.add_event_handler(handler)
    try:
        embedding = measured()
        embed_chunks(embedding, [chunk("a b")])
        embedding.get_query_embedding("q")
        asyncio.run(embedding.acall([TextNode(text="n")]))
    finally:
        dispatcher.event_handlers.remove(handler)
    assert sum(isinstance(event, EmbeddingStartEvent) for event in seen) == 3
    assert [event.chunks for event in seen if isinstance(event, EmbeddingEndEvent)] == [["a b"], ["q"], ["n"]]


def test_documents_are_embedded_with_their_prefix_and_bad_ones_are_named() -> None:
    class Picky(Measured):
        def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
            if any("bad" in text for text in texts):
                raise RequestRefused("embedding: refused", says="400: bad")
            return super().compute_vectors(texts, counts)

    embedding = Picky(
        model_name="picky", dimensions=2, max_tokens=5, embedded_metadata=[], document_prefix="p ", sent=[]
    )
    batch = embedding.embed_documents(["a", "bad", "bcd"])
    assert batch.vectors.tolist() == [[len("p a"), 1], [0, 0], [len("p bcd"), 1]]
    assert batch.refused == {1: "400: bad"}
    assert embedding.embed_documents([]).vectors.shape == (0, 2)


# What is refused.


def test_chunks_over_the_limit_are_named_before_any_is_embedded() -> None:
    """TRAPS 38: local models cut off silently; here a text over the limit is an error that names the document."""
    embedding = measured()
    chunks = [
        chunk("fits"),
        chunk("one two three four five six", start=40, document="문서/b.md"),
        chunk("a b c d e f g"),
    ]
    with pytest.raises(DataError) as caught:
        embed_chunks(embedding, chunks)
    assert caught.value.problems == (
        located_too_long("문서/b.md", 40, 67, too_many_tokens(6, "measured", 5)),
        located_too_long("a.md", 0, 13, too_many_tokens(7, "measured", 5)),
    )
    assert embedding.sent == []


def test_limit_counts_prefix_and_metadata() -> None:
    embedding = measured(document_prefix="one two ")
    embed_chunks(embedding, [chunk("b c", heading="a")])
    with pytest.raises(DataError, match="6 tokens"):
        embed_chunks(embedding, [chunk("b c", heading="a a")])


def test_nodes_queries_and_texts_over_the_limit_are_refused_too() -> None:
    embedding, long = measured(), "one two three four five six"
    for attempt in (
        lambda: embedding([to_node(chunk(long))]),
        lambda: asyncio.run(embedding.acall([TextNode(text=long)])),
        lambda: embedding.get_query_embedding(long),
        lambda: embedding.get_text_embedding_batch(["fits", long]),
        lambda: asyncio.run(embedding.aget_text_embedding(long)),
        lambda: embedding.embed([long]),
    ):
        with pytest.raises(DataError, match=wording(too_many_tokens(6, "measured", 5))):
            attempt()
    assert embedding.sent == []


def test_only_the_first_of_many_problems_are_listed_and_the_others_counted() -> None:
    with pytest.raises(DataError) as caught:
        measured().embed(["a b c d e f"] * 25)
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == further_problems(15)


@pytest.mark.parametrize("blank", ["", " ", "\n\t\u3000"])
def test_blank_text_is_refused_by_name(blank: str) -> None:
    with pytest.raises(DataError, match=wording(blank_text(text_place(2, 2)))):
        hashing().embed(["x", blank])
    with pytest.raises(DataError, match=wording(blank_text(characters("a.md", 7, "")))):
        embed_chunks(hashing(), [chunk(blank, start=7)])


def test_no_texts_give_no_vectors() -> None:
    assert hashing(dimensions=16).embed([]).shape == (0, 16)
    assert embed_chunks(hashing(dimensions=16), []).shape == (0, 16)
    assert asyncio.run(hashing(dimensions=16).aembed([])).shape == (0, 16)
    assert list(hashing()([])) == []


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ([[1, 2]], "1 x 2 numbers for 2 texts"),
        ([[1, 2, 3]] * 2, "embedding.dimensions=2 must be the model's own"),
        ([[1, 2], [float("nan"), 1]], wording(not_finite_or_zero() + " for 1 of 2 texts, " + first_wrong_text(2))),
        ([[float("inf"), 2], [1, 1]], first_wrong_text(1)),
        ([[0, 0], [1, 1]], first_wrong_text(1)),
    ],
)
def test_vectors_that_cannot_be_right_are_never_handed_on(returned: Any, says: str) -> None:
    for attempt in (
        lambda: measured(returns=returned).embed(["a", "b"]),
        lambda: asyncio.run(measured(returns=returned).aembed(["a", "b"])),
        lambda: measured(returns=returned).embed_batch(["a", "b"], [1, 1]),
    ):
        with pytest.raises(ServiceError, match=says):
            attempt()


def test_half_of_a_character_does_not_stop_an_embedding() -> None:
    np.testing.assert_array_equal(hashing().embed(["a \ud800 b"]), hashing().embed(["a \ufffd b"]))


def test_local_embedding_uses_no_provider() -> None:
    with collect_usage() as usage:
        hashing().embed(["a text"])
    assert usage.models == {}


@pytest.mark.parametrize(
    ("option", "changed", "says"),
    [
        ("openai", {"dimensions": 3072}, at_most("dimensions=3072", 1536)),
        ("openai", {"model": "text-embedding-ada-002", "dimensions": 512}, "cannot shorten"),
        ("openai", {"batch_tokens": 100}, at_least("batch_tokens=100", "max_tokens=8191")),
        ("openai", {"api_key_env": "sk-hidden"}, key_itself()),
        ("openai_compatible", {"base_url": "http://a:hidden@b/v1"}, no_password_in_address()),
    ],
)
def test_keys_that_contradict_each_other_are_all_named_without_building(
    option: str, changed: dict[str, Any], says: str
) -> None:
    keys = defaults("embedding", option) | changed
    assert [
        says in problem and "hidden" not in problem for problem in key_problems(getattr(builders, option), keys)
    ] == [True]
    with pytest.raises(ConfigError, match=says):
        make("embedding", option, **changed)


@pytest.mark.parametrize("option", ["hashing", "openai", "openai_compatible", "fastembed", "huggingface"])
def test_defaults_of_an_option_do_not_contradict_each_other(option: str) -> None:
    assert key_problems(getattr(builders, option), defaults("embedding", option)) == []


# hashing


@given(st.lists(texts, min_size=1, max_size=5), st.integers(1, 64))
@settings(deadline=None, max_examples=200)
def test_hashing_gives_every_text_that_is_not_blank_a_vector_of_length_one(found: list[str], dimensions: int) -> None:
    vectors = hashing(dimensions=dimensions).embed(found)
    assert vectors.shape == (len(found), dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@given(st.lists(texts, min_size=1, max_size=5))
@settings(deadline=None)
def test_hashing_vector_depends_on_the_text_alone(found: list[str]) -> None:
    embedding = hashing()
    together = embedding.embed(found)
    for text, vector in zip(found, together, strict=True):
        np.testing.assert_array_equal(hashing().embed([text])[0], vector)
        np.testing.assert_array_equal(embedding.embed([text])[0], vector)


@given(st.lists(st.sampled_from(["apple", "pear", "the", "of", "계약서를", "東京", "x1"]), min_size=1))
def test_hashing_does_not_depend_on_the_order_of_words(words: list[str]) -> None:
    forward, backward = hashing().embed([" ".join(words), " ".join(reversed(words))])
    np.testing.assert_array_equal(forward, backward)


@pytest.mark.slow
def test_hashing_is_the_same_in_every_process() -> None:
    code = (
        "import sys, hashlib; sys.path[:0] = ['tests', 'tests/support']; from made import make; from components.embedding.test_embedding import SAMPLES;"
        "print(hashlib.sha256(make('embedding', 'hashing').embed(SAMPLES).tobytes()).hexdigest())"
    )
    root = ROOT
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].strip()) == 64


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("CAFÉ", "cafe\u0301"),
        ("ﬁne", "FINE"),
        ("ＡＢＣ１２", "abc12"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
        ("STRASSE", "straße"),
    ],
)
def test_hashing_sees_through_case_width_and_composition(left: str, right: str) -> None:
    first, second = hashing().embed([left, right])
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("계약서를 확인", "계약서는 어디에", "회의록은 어디에"),
        ("databases", "the database", "the warranty"),
        ("東京タワー", "東京の塔", "大阪の城"),
        ("warranty of the frame", "the frame has a warranty", "the end of the day and the night"),
    ],
)
def test_hashing_finds_what_shares_words_or_parts_of_them_nearer(text: str, near: str, far: str) -> None:
    query, *others = hashing().embed([text, near, far])
    assert query @ others[0] > query @ others[1] + 0.1


def test_hashing_tells_texts_without_words_apart() -> None:
    dots, dots_again, marks = hashing().embed(["...", ". . .", "?!"])
    np.testing.assert_array_equal(dots, dots_again)
    assert abs(dots @ marks) < 0.5


def test_hashing_features_that_cancel_each_other_still_give_a_vector() -> None:
    vectors = hashing(dimensions=1).embed([f"word{number} x{number}y" for number in range(300)])
    assert (vectors != 0).all()


def test_hashing_forgets_words_when_its_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashed, "MEMO_FEATURES", 50)
    words, features_of = list[str](), hashed.features_of
    monkeypatch.setattr(hashed, "features_of", lambda word: (words.append(word), features_of(word))[1])
    embedding = hashing()
    found = np.stack([embedding.embed([text])[0] for text in SAMPLES * 3])
    np.testing.assert_array_equal(found, np.concatenate([hashing().embed(SAMPLES)] * 3))
    assert max(Counter(words).values()) > 2  # more often than for either embedding: they were forgotten


def test_hashing_may_be_used_by_many_threads() -> None:
    embedding, many = hashing(), [f"{text} {number}" for number in range(40) for text in SAMPLES]
    expected = hashing().embed(many)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: embedding.embed([text])[0], many))
    np.testing.assert_array_equal(np.stack(found), expected)


@pytest.mark.parametrize("text", ["x" * 300_000, "가" * 300_000, " " * 300_000 + "a", "ab " * 100_000])
def test_hashing_takes_texts_of_any_length(text: str) -> None:
    assert hashing().embed([text]).shape == (1, 2048)


def test_hashing_counts_words() -> None:
    assert hashing().count_tokens(["the frame's 10 years", "...", "계약서를 확인"]) == [5, 0, 2]


def test_hashing_can_be_sent_to_another_process_and_written_down() -> None:
    embedding = hashing()
    before = embedding.embed(SAMPLES)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedding)).embed(SAMPLES), before)
    assert json.loads(embedding.to_json())["dimensions"] == 2048
    assert embedding.to_dict()["class_name"] == "HashingEmbedding"


def test_embedding_output_is_bound_to_its_code_version() -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    rounded = np.round(hashing().embed(SAMPLES).astype(np.float64), 4) + 0.0  # no -0.0
    found = {"code_version": builders.hashing.code_version, "digest": sha256(canonical_json(rounded.tolist()))}
    assert json.loads(GOLDEN.read_text())["hashing"] == found


def test_no_embedding_uses_the_cache_of_llamaindex_that_ignores_the_model() -> None:
    """TRAPS 22: LlamaIndex's `embeddings_cache` is keyed by the text alone."""
    assert make("embedding", "hashing").embeddings_cache is None
