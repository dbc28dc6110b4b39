"""Embeddings with a cache: equal inputs are hits, all others misses, and paid vectors are stored."""

import asyncio
import pickle
import sqlite3
import sys
import types
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent
from llama_index.core.schema import Document, TextNode

import ragloom.components.chunking as chunkers
import ragloom.components.embedding as builders
from components.embedding.test_embedding import chunk, measured
from components.embedding.test_local_embeddings import FakeTransformer
from embedding_tools import embed_chunks
from loopback import OpenAIServer, edit, status, vector_of
from made import defaults, make
from provider_calls import KEY
from ragloom.assembly import Assembly
from ragloom.cache.embeddings import bypassed
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.cache.embeddings.maintenance import report
from ragloom.components.embedding.base import Embedding
from ragloom.config.builder_keys import code_version
from ragloom.config.config import load
from ragloom.config.fingerprint import describe
from ragloom.core import sqlite_connections
from ragloom.core.usage import Usage, as_json, collect_usage
from ragloom.errors import ServiceError

TEXTS = ["one", "두 번째", "three", "four"]
PRICES = {"text-embedding-3-small": {"input": 0.02, "output": 0}}

pytestmark = pytest.mark.usefixtures("api_key")


def cached(folder: Path, option: str, **changed: Any) -> Any:
    """Build an embedding as the assembly does, with its cache in a folder."""
    embedding = make("embedding", option, **changed)
    embedding.use_cache(
        EmbeddingCache(folder, max_bytes=1 << 30),
        describe(getattr(builders, option), defaults("embedding", option) | changed),
    )
    return embedding


def openai(folder: Path, server: OpenAIServer, **changed: Any) -> Embedding:
    keys = {"base_url": server.base_url, "dimensions": server.dimensions}
    embedding: Embedding = cached(folder, "openai", **(keys | changed))
    return embedding


def counting(folder: Path, **fields: Any) -> Any:
    """The tests' own embedding, whose `sent` lists what was embedded, with a cache."""
    embedding = measured(**fields)
    embedding.use_cache(EmbeddingCache(folder, max_bytes=1 << 30), {"model": "measured"})
    return embedding


def sent(server: OpenAIServer) -> list[str]:
    return [text for request in server.requests for text in request.body["input"]]


def expected(texts: Sequence[str]) -> np.ndarray:
    return np.stack([vector_of(text) for text in texts])


# Cache hits.


@pytest.mark.slow
def test_text_that_was_embedded_before_is_not_sent_again(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        for _ in range(2):
            np.testing.assert_array_equal(openai(tmp_path, server).embed(TEXTS), expected(TEXTS))
            np.testing.assert_array_equal(asyncio.run(openai(tmp_path, server).aembed(TEXTS)), expected(TEXTS))
        mixed = ["new", *TEXTS[::-1], "newer", "new"]
        np.testing.assert_array_equal(openai(tmp_path, server).embed(mixed), expected(mixed))
        later = ["latest", "new"]
        np.testing.assert_array_equal(asyncio.run(openai(tmp_path, server).aembed(later)), expected(later))
    assert sent(server) == [*TEXTS, "new", "newer", "latest"]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), max_size=6), st.integers(1, 4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_distinct_text_is_embedded_once_whatever_the_calls(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[str]], group: int
) -> None:
    embedding = counting(tmp_path_factory.mktemp("c"), embed_batch_size=group)
    for number, texts in enumerate(calls):
        vectors = embedding.get_text_embedding_batch(texts) if number % 2 else embedding.embed(texts).tolist()
        assert vectors == [[len(text), 1] for text in texts]
    assert max(Counter(embedding.sent).values(), default=0) <= 1
    assert set(embedding.sent) == {text for texts in calls for text in texts}


def test_equal_texts_of_one_call_are_sent_once_also_without_a_cache() -> None:
    embedding = measured()
    assert embedding.embed(["b", "a", "b", "a", "b"]).tolist() == [[1, 1]] * 5
    assert embedding.sent == ["b", "a"]


def test_every_way_to_embed_goes_through_the_cache(tmp_path: Path) -> None:
    text = "the same"
    counting(tmp_path).embed([text])
    again = counting(tmp_path)
    embed_chunks(again, [chunk(text)])
    again([TextNode(text=text)])
    asyncio.run(again.acall([TextNode(text=text)]))
    again.get_text_embedding(text)
    asyncio.run(again.aget_text_embedding(text))
    again.get_text_embedding_batch([text] * 30)
    again.get_query_embedding(text)
    asyncio.run(again.aget_query_embedding(text))
    assert again.sent == []


def test_llamaindex_events_fire_for_cache_hits(tmp_path: Path) -> None:
    counting(tmp_path).embed(["a"])
    seen: list[Any] = []

    class Handler(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.append(event)

    dispatcher, handler = get_dispatcher(), Handler()
    dispatcher.add_event_handler(handler)
    try:
        counting(tmp_path).get_text_embedding_batch(["a"])
    finally:
        dispatcher.event_handlers.remove(handler)
    ends = [event for event in seen if isinstance(event, EmbeddingEndEvent)]
    assert [event.chunks for event in ends] == [["a"]]
    assert ends[0].embeddings == [[1, 1]]


def test_prefix_of_documents_and_of_queries_are_different_texts(tmp_path: Path) -> None:
    prefixes = {"document_prefix": "passage: ", "query_prefix": "query: "}
    embedding = counting(tmp_path, **prefixes)
    embedding.get_text_embedding("ask")
    embedding.get_query_embedding("ask")
    again = counting(tmp_path, **prefixes)
    again.get_query_embedding("ask")
    assert embedding.sent == ["passage: ask", "query: ask"]
    assert again.sent == []
    tuned = counting(tmp_path, **(prefixes | {"query_prefix": "question: "}))
    tuned.get_text_embedding("ask")
    tuned.get_query_embedding("ask")
    assert tuned.sent == ["question: ask"], "another prefix for queries does not pay the documents again"


def test_texts_that_embedded_metadata_does_not_change_are_not_paid_again(tmp_path: Path) -> None:
    embed_chunks(counting(tmp_path), [chunk("text", heading="H"), chunk("bare")])
    other = counting(tmp_path, embedded_metadata=[])
    embed_chunks(other, [chunk("text", heading="H"), chunk("bare")])
    assert other.sent == ["text"]


def test_half_a_surrogate_pair_has_the_key_of_the_text_sent_for_it(tmp_path: Path) -> None:
    broken = chunk("a \ud800 b")
    embedding = counting(tmp_path)
    embed_chunks(embedding, [broken])
    again = counting(tmp_path)
    embed_chunks(again, [broken])
    assert (embedding.sent, again.sent) == (["a \ufffd b"], [])
    assert again.cache.contains([again.document_text(broken.text, {})]) == [True]


def test_pickled_embedding_uses_the_same_cache(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        openai(tmp_path, server).embed(TEXTS)
        copy = pickle.loads(pickle.dumps(openai(tmp_path, server)))
        np.testing.assert_array_equal(copy.embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 1
    assert "cache" not in copy.to_dict()


# Cache misses.

COMPATIBLE = {"model": "m", "dimensions": 8, "base_url": "http://127.0.0.1:9/v1"}
FASTEMBED = {"dimensions": 6, "max_length": 16, "normalize": False}
HUGGINGFACE = {"model": "m", "dimensions": 2, "max_length": 6}


@pytest.mark.parametrize(
    ("option", "base", "changed"),
    [
        ("openai", {"dimensions": 8}, {"model": "text-embedding-3-large"}),
        ("openai", {"dimensions": 8}, {"dimensions": 16}),
        ("openai", {"dimensions": 8}, {"max_tokens": 100}),
        ("openai", {"dimensions": 8}, {"base_url": "http://127.0.0.1:9/v1"}),
        ("openai_compatible", COMPATIBLE, {"base_url": "http://127.0.0.1:8/v1"}),
        ("openai_compatible", COMPATIBLE, {"model": "n"}),
        ("openai_compatible", COMPATIBLE, {"send_dimensions": True}),
        ("openai_compatible", COMPATIBLE, {"tokenizer": "o200k_base"}),
        ("fastembed", FASTEMBED, {"normalize": True}),
        ("fastembed", FASTEMBED, {"pooling": "cls"}),
        ("fastembed", FASTEMBED, {"max_length": 15}),
        ("fastembed", FASTEMBED, {"overlong": "truncate"}),
        ("huggingface", HUGGINGFACE, {"revision": "b"}),
        ("huggingface", HUGGINGFACE, {"normalize": False}),
        ("huggingface", HUGGINGFACE, {"model": "n"}),
    ],
    ids=lambda value: "-".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else value,
)
def test_anything_that_may_change_a_vector_is_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, base: dict[str, Any], changed: dict[str, Any]
) -> None:
    keys = base | prepared(option, tmp_path, monkeypatch)
    before, same = (cached(tmp_path / "c", option, **keys) for _ in range(2))
    assert before.cache.rows.identity == same.cache.rows.identity
    other = cached(tmp_path / "c", option, **(keys | changed))
    assert other.cache.rows.identity != before.cache.rows.identity
    before.cache.store(["text"], np.ones((1, before.dimensions), dtype=np.float32))
    assert same.cache.look_up(["text"]).vectors
    assert not other.cache.look_up(["text"]).vectors


def prepared(option: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Prepare what a builder needs: files or a module."""
    if option == "fastembed":
        tiny_model = pytest.importorskip("tiny_model", reason="onnx (extra 'dev') is not installed")
        return {"model": str(tiny_model.make_model(folder / "model"))}
    if option == "huggingface":
        module = types.ModuleType("sentence_transformers")
        module.SentenceTransformer = CommittedTransformer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return {}


class CommittedTransformer(FakeTransformer):
    """A model whose files name their commit, as those of the hub do."""

    commit = "c0ffee"

    def __getitem__(self, at: int) -> Any:
        config = types.SimpleNamespace(_commit_hash=self.commit)
        return types.SimpleNamespace(auto_model=types.SimpleNamespace(config=config))


@pytest.mark.parametrize(
    ("option", "base", "changed"),
    [
        ("openai", {"dimensions": 8}, {"batch_size": 7, "batch_tokens": 9000, "timeout": 3.0, "attempts": 1}),
        ("openai", {"dimensions": 8}, {"api_key_env": "ANOTHER_KEY"}),
        ("openai_compatible", COMPATIBLE, {"query_prefix": "q", "document_prefix": "d", "embedded_metadata": []}),
        ("openai_compatible", COMPATIBLE, {"encoding_format": "base64"}),
        ("fastembed", FASTEMBED, {"threads": 1, "cache_dir": "elsewhere"}),
        ("huggingface", HUGGINGFACE, {"device": "cpu"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_keys_that_cannot_change_a_vector_are_no_part_of_the_cache_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, base: dict[str, Any], changed: dict[str, Any]
) -> None:
    monkeypatch.setenv("ANOTHER_KEY", "sk-another-planted-key")
    keys = base | prepared(option, tmp_path, monkeypatch)
    one, other = cached(tmp_path / "c", option, **keys), cached(tmp_path / "c", option, **(keys | changed))
    assert one.cache.rows.identity == other.cache.rows.identity


def test_changed_model_files_are_another_key_and_a_moved_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = FASTEMBED | prepared("fastembed", tmp_path, monkeypatch)
    before = cached(tmp_path / "c", "fastembed", **keys).cache.rows.identity
    moved = Path(keys["model"]).rename(tmp_path / "moved")
    assert cached(tmp_path / "c", "fastembed", **(keys | {"model": str(moved)})).cache.rows.identity == before
    (moved / "model.onnx").write_bytes((moved / "model.onnx").read_bytes() + b"\x00\x00")
    description = describe(builders.fastembed, defaults("embedding", "fastembed") | keys | {"model": str(moved)})
    embedding = measured()
    embedding.use_cache(EmbeddingCache(tmp_path / "c", max_bytes=1 << 30), description)
    assert embedding.cache.rows.identity != before


def test_new_commit_of_a_model_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`revision: null` is the newest one: what it stands for changes without a key of the config changing."""
    prepared("huggingface", tmp_path, monkeypatch)
    before = cached(tmp_path, "huggingface", **HUGGINGFACE).cache.rows.identity
    monkeypatch.setattr(CommittedTransformer, "commit", "decade")
    assert cached(tmp_path, "huggingface", **HUGGINGFACE).cache.rows.identity != before


def test_raised_code_version_is_another_key(tmp_path: Path) -> None:
    @code_version(1)
    def builder(*, model: str) -> None: ...

    before = describe(builder, {"model": "m"})
    builder.code_version = 2  # type: ignore[attr-defined]
    cache = EmbeddingCache(tmp_path, max_bytes=1 << 30)
    first, second = measured(), measured()
    first.use_cache(cache, before)
    second.use_cache(cache, describe(builder, {"model": "m"}))
    assert first.cache.rows.identity != second.cache.rows.identity


def test_server_that_the_environment_names_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run against a stand-in server must not leave its vectors to runs against the real one."""
    keys = {"dimensions": 8, "base_url": None}
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    before = cached(tmp_path, "openai", **keys)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:planted-password@127.0.0.1:9/v1?key=planted-password")
    other = cached(tmp_path, "openai", **keys)
    assert other.cache.rows.identity != before.cache.rows.identity
    assert "planted" not in other.cache.described


def test_api_key_is_in_no_key_and_in_no_file(tmp_path: Path) -> None:
    with OpenAIServer(api_key=KEY) as server:
        embedding = openai(tmp_path, server)
        embedding.embed(TEXTS)
    assert KEY not in embedding.cache.described
    assert "OPENAI_API_KEY" not in embedding.cache.described
    files = list(tmp_path.iterdir())
    assert not [path for path in files if TEXTS[1].encode() in path.read_bytes()]
    assert not [path for path in files if b"planted" in path.read_bytes()]


# Storing.


@pytest.mark.parametrize("way", ["sync", "async"])
def test_each_response_is_stored_before_the_next_request(tmp_path: Path, way: str) -> None:
    with OpenAIServer([None, None, status(400)]) as server:
        embedding = openai(tmp_path, server, batch_size=3)
        texts = [f"text {number}" for number in range(9)]
        with pytest.raises(ServiceError):
            embedding.embed(texts) if way == "sync" else asyncio.run(embedding.aembed(texts))
        assert embedding.cache is not None
        assert embedding.cache.contains(texts) == [True] * 6 + [False] * 3
        np.testing.assert_array_equal(openai(tmp_path, server, batch_size=3).embed(texts), expected(texts))
    assert Counter(sent(server)) == Counter(texts + texts[6:]), "only what was in flight is sent twice"


def test_local_batches_are_stored_before_the_next_one_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = FASTEMBED | prepared("fastembed", tmp_path, monkeypatch) | {"batch_size": 2}
    embedding = cached(tmp_path / "c", "fastembed", **keys)
    onnxruntime = pytest.importorskip("onnxruntime")
    run, batches = onnxruntime.InferenceSession.run, count(1)

    def failing_run(*arguments: Any, **options: Any) -> Any:
        if next(batches) == 3:
            raise RuntimeError("out of memory")
        return run(*arguments, **options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", failing_run)
    texts = ["apple " * size for size in range(1, 7)]
    with pytest.raises(RuntimeError):
        embedding.embed(texts)
    assert embedding.cache.contains(texts) == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["data"].pop(),
        lambda body: body["data"][0].update(embedding=[float("nan")] * 8),
        lambda body: body["data"][0].update(embedding=[0.0] * 8),
        lambda body: body["data"][0].update(embedding=[1.0] * 7),
        lambda body: body["data"][0].update(index=1),
    ],
    ids=["n-1", "NaN", "zero", "short", "twice"],
)
def test_response_that_cannot_be_right_is_not_stored(tmp_path: Path, change: Any) -> None:
    with OpenAIServer([edit(change)]) as server:
        embedding = openai(tmp_path, server)
        with pytest.raises(ServiceError):
            embedding.embed(TEXTS)
        assert embedding.cache is not None
        assert not any(embedding.cache.contains(TEXTS))
        np.testing.assert_array_equal(embedding.embed(TEXTS), expected(TEXTS))


def test_reordered_response_is_stored_under_the_right_texts(tmp_path: Path) -> None:
    with OpenAIServer([edit(lambda body: body["data"].reverse())]) as server:
        openai(tmp_path, server).embed(TEXTS)
        np.testing.assert_array_equal(openai(tmp_path, server).embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 1


def test_requests_are_full_also_if_some_texts_are_hits(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(40)]
    with OpenAIServer() as server:
        openai(tmp_path, server).embed(texts[::2])
        openai(tmp_path, server, batch_size=10).get_text_embedding_batch(texts)
    assert [len(request.body["input"]) for request in server.requests] == [20, 10, 10]


def test_cache_that_cannot_be_used_costs_money_but_no_vector_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_connections, "BUSY_SECONDS", 0.05)
    embedding = counting(tmp_path)
    embedding.embed(["a"])
    embedding.cache.cache.close()
    with closing(sqlite3.connect(tmp_path / "vectors.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with collect_usage() as held:
            assert embedding.embed(["a", "b b"]).tolist() == [[1, 1], [3, 1]]
    assert (held.cache.hits, held.cache.misses, held.cache.unavailable) == (1, 1, 1), "it can be read, not written"
    embedding.cache.cache.close()
    (tmp_path / "vectors.sqlite").unlink()
    (tmp_path / "vectors.sqlite").mkdir()
    with collect_usage() as gone:
        assert embedding.embed(["a", "b b"]).tolist() == [[1, 1], [3, 1]]
    assert (gone.cache.hits, gone.cache.misses, gone.cache.unavailable) == (0, 2, 2), "neither read nor written"
    assert gone.cache.damaged == 0


# Counting.


def test_hits_misses_tokens_and_money_are_counted(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        embedding = openai(tmp_path, server)
        with collect_usage() as first:
            embedding.embed(TEXTS)
        with collect_usage() as second, collect_usage() as inner:
            embedding.embed([*TEXTS[:3], "new", "new"])
    assert (first.cache.hits, first.cache.misses) == (0, 4)
    assert (second.cache.hits, second.cache.misses) == (3, 1), "equal texts of a call count once"
    assert inner == second
    tokens = sum(embedding.count_tokens(TEXTS[:3]))
    assert second.cache.saved == {"text-embedding-3-small": tokens}
    shown = as_json(second, PRICES)["cache"]
    assert shown == {
        "hits": 3,
        "misses": 1,
        "damaged": 0,
        "unavailable": 0,
        "saved_tokens": tokens,
        "saved_usd": pytest.approx(tokens * 0.02 / 1e6),
    }
    assert second.saved_usd({}) is None, "a price that is not known is not zero"
    assert Usage().saved_usd({}) == 0


def test_damaged_entries_are_counted_and_paid_again(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        embedding = openai(tmp_path, server)
        embedding.embed(TEXTS)
        assert embedding.cache is not None
        embedding.cache.cache.close()
        (tmp_path / "vectors.sqlite").write_bytes(b"garbage")
        with collect_usage() as usage:
            np.testing.assert_array_equal(embedding.embed(TEXTS), expected(TEXTS))
    assert (usage.cache.hits, usage.cache.misses, usage.cache.damaged) == (0, 4, 4)
    assert len(server.requests) == 2


def test_local_models_save_tokens_and_no_money(tmp_path: Path) -> None:
    counting(tmp_path).embed(["a b", "c"])
    with collect_usage() as usage:
        counting(tmp_path).embed(["a b", "c"])
    assert (usage.cache.tokens, usage.cache.saved) == (3, {})
    assert as_json(usage, {})["cache"]["saved_usd"] == 0


def test_truncated_texts_are_counted_also_as_cache_hits(tmp_path: Path) -> None:
    for _ in range(2):
        embedding = counting(tmp_path, overlong="truncate")
        embedding.embed(["a b c d e f g", "a"])
        assert embedding.truncated == 1


def test_bypass_computes_every_vector_and_stores_none(tmp_path: Path) -> None:
    embedding = counting(tmp_path)
    embedding.get_query_embedding("ask")
    embedding.embed(["a"])
    with bypassed(), collect_usage() as usage:
        embedding.get_query_embedding("ask")
        embedding.get_query_embedding("ask")
        asyncio.run(embedding.aget_query_embedding("ask"))
        embedding.embed(["a", "b"])
    assert embedding.sent == ["ask", "a", "ask", "ask", "ask", "a", "b"]
    assert usage.cache.hits == usage.cache.misses == 0
    assert embedding.cache.contains(["ask", "a", "b"]) == [True, True, False]


# Which embeddings use the cache.


def test_hashing_uses_no_cache_and_creates_no_folder(tmp_path: Path) -> None:
    assert make("embedding", "hashing").cheap
    (config,) = load([f"cache.path={tmp_path / 'cache'}"])
    assert Assembly(config).embedding.cache is None
    assert list(tmp_path.iterdir()) == []


def test_assembly_gives_embeddings_the_configured_cache(tmp_path: Path) -> None:
    base = ["embedding=openai", f"cache.path={tmp_path / 'cache'}"]
    (config,) = load([*base, "cache.max_gb=0.5"])
    with Assembly(config) as assembly:
        cache = assembly.embedding.cache
        assert cache.cache.max_bytes == 500_000_000
        assert cache.cache.database.folder == tmp_path / "cache"
        assert assembly.embedding.cache.cache is assembly.cache
    (config,) = load([*base, "cache.enabled=false"])
    assert Assembly(config).embedding.cache is None


def test_cache_is_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    (plain,) = load([])
    (other,) = load([f"cache.path={tmp_path}", "cache.max_gb=1", "cache.enabled=false"])
    assert Assembly(plain).fingerprint == Assembly(other).fingerprint


TEXT = "Cats sleep. Cats purr. Cats eat. Bonds pay interest. Bonds mature. Stocks rise and fall. Cats sleep."


@pytest.mark.parametrize("chunking", ["semantic", "hybrid"])
def test_chunking_by_meaning_looks_up_what_it_embeds(tmp_path: Path, chunking: str) -> None:
    keys = defaults("chunking", chunking) | {"chunk_size": 20, "chunk_overlap": 0, "min_size": 2}
    cut: list[list[str]] = []
    listed: list[list[str]] = []
    for _ in range(2):
        embedding = counting(tmp_path, max_tokens=None)
        parser = getattr(chunkers, chunking)(embedding, **keys)
        listed.append(parser.embedded_texts(TEXT))
        assert embedding.sent == [], "listing the texts embeds nothing"
        cut.append([node.get_content() for node in parser([Document(text=TEXT)])])
        assert (embedding.sent == []) == (len(cut) == 2)
        if len(cut) == 1:
            assert embedding.sent == listed[0]
            assert len(listed[0]) > 3
    assert cut[0] == cut[1]
    assert listed[0] == listed[1]


def test_chunking_without_an_embedding_lists_no_texts() -> None:
    assert make("chunking", "paragraph").embedded_texts(TEXT) == []


def test_report_names_the_model_and_what_decides_its_vectors(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        embedding = openai(tmp_path, server)
        embedding.embed(TEXTS)
    assert embedding.cache is not None
    (model,) = report(embedding.cache.cache).models
    assert (model.name, model.entries, model.dimensions) == ("text-embedding-3-small", 4, 8)
    assert model.made_by["builder"] == "ragloom.embedding.openai"
    assert model.made_by["code_version"] == 1
    assert model.made_by["server"] == server.base_url
