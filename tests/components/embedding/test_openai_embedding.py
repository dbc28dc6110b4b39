"""embedding=openai and openai_compatible, by the real client against a server on this machine."""

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragloom.components.embedding as builders
from components.embedding.test_embedding import GOLDEN, SAMPLES, chunk
from embedding_tools import embed_chunks
from loopback import Fault, OpenAIServer, edit, raw, slow, status, vector_of
from made import defaults, make
from messages import ANY, NUMBER, wording
from messages.embedding import (
    characters,
    no_list_of_numbers,
    not_finite_or_zero,
    set_by_ragloom,
    too_many_tokens,
    unknown_tokenizer,
    wrong_indices,
    wrong_number_of_vectors,
)
from messages.providers import gave_up, not_json_gave_up, refused, variable_must_hold, wrong_model
from provider_calls import KEY
from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.components.embedding.openai_embedding import OpenAIEmbedding
from ragloom.config.fingerprint import describe
from ragloom.core.records import canonical_json, sha256
from ragloom.core.tokenizers import load
from ragloom.core.usage import Tokens, collect_usage
from ragloom.errors import ConfigError, DataError, ServiceError

TEXTS = ["one", "두 번째\nline", "three"]

pytestmark = pytest.mark.usefixtures("api_key")


def openai(server: OpenAIServer, **changed: Any) -> OpenAIEmbedding:
    made = make("embedding", "openai", **({"base_url": server.base_url, "dimensions": server.dimensions} | changed))
    assert isinstance(made, OpenAIEmbedding)
    return made


def compatible(server: OpenAIServer, **changed: Any) -> OpenAIEmbedding:
    keys = {"base_url": server.base_url, "dimensions": server.dimensions}
    made = make("embedding", "openai_compatible", **(keys | changed))
    assert isinstance(made, OpenAIEmbedding)
    return made


def expected(texts: list[str]) -> np.ndarray:
    return np.stack([vector_of(text) for text in texts])


# What a server may do to a request: the outcome, and the number of requests made.


@pytest.mark.parametrize("make_one", [openai, compatible])
def test_vectors_come_in_the_order_of_the_texts(make_one: Any) -> None:
    with OpenAIServer() as server:
        np.testing.assert_array_equal(make_one(server).embed(TEXTS), expected(TEXTS))
        np.testing.assert_array_equal(asyncio.run(make_one(server).aembed(TEXTS)), expected(TEXTS))
    assert len(server.requests) == 2


def test_reordered_response_is_put_in_order() -> None:
    """TRAPS 22: the client and LlamaIndex take vectors as they come, so that a reordered response swaps them."""
    with OpenAIServer([edit(lambda body: body["data"].reverse())]) as server:
        np.testing.assert_array_equal(openai(server).embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["data"].pop(),
        lambda body: body["data"].append(dict(body["data"][0])),
        lambda body: body["data"][0].update(index=1),
        lambda body: body["data"][2].update(index=3),
        lambda body: body["data"][2].update(index="x"),
        lambda body: body["data"][2].pop("index"),
        lambda body: [body["data"][at].pop("index") for at in (0, 1)],
        lambda body: body["data"][2].update(index=1.5),
        lambda body: body["data"][0].update(index=-0.0, embedding=[0.5] * 8) or body["data"][1].update(index=0),
        lambda body: body["data"].clear(),
        lambda body: body["data"].append({**body["data"][0], "index": None}),
        lambda body: body["data"].append({**body["data"][0], "index": "0"}),
        lambda body: body["data"][1].update(index=True),
    ],
    ids=str.split("n-1 n+1 twice beyond text none two-none half zero-twice empty n+1-none n+1-text true"),
)
def test_response_that_does_not_answer_each_text_once_is_an_error(change: Any, waits: list[float]) -> None:
    """TRAPS 22: n-1 vectors lose a node elsewhere without a word."""
    with (
        OpenAIServer([edit(change)]) as server,
        pytest.raises(ServiceError, match=wording(wrong_number_of_vectors(3))),
    ):
        openai(server).embed(TEXTS)
    assert len(server.requests) == 1, "what is wrong, and paid, is not asked for again"


def test_indices_that_cannot_be_right_are_shown_as_they_came() -> None:
    def change(body: dict[str, Any]) -> None:
        for item, index in zip(body["data"], (None, "1", 1.0), strict=True):
            item["index"] = index

    with (
        OpenAIServer([edit(change)]) as server,
        pytest.raises(ServiceError, match=wording(wrong_indices("None", "'1'", "1.0"))),
    ):
        openai(server).embed(TEXTS)


@pytest.mark.parametrize("make_one", [openai, compatible])
def test_indices_are_read_as_servers_write_them(make_one: Any) -> None:
    def write(body: dict[str, Any], indices: list[Any], order: list[int]) -> None:
        body["data"] = [body["data"][at] for at in order]
        for item, index in zip(body["data"], indices, strict=True):
            item["index"] = index
            if index == "missing":
                del item["index"]

    cases = [
        (["missing"] * 3, [0, 1, 2]),  # Gemini
        ([None] * 3, [0, 1, 2]),
        ([None, "missing", None], [0, 1, 2]),
        (["missing", 1, 2], [0, 1, 2]),  # protobuf drops zeros
        ([None, 2, 1], [0, 2, 1]),
        ([0.0, 1.0, 2.0], [0, 1, 2]),
        ([2.0, 0.0, 1.0], [2, 0, 1]),
        (["0", "1", "2"], [0, 1, 2]),
        (["1", "0", "2"], [1, 0, 2]),
        ([0, 1.0, "2"], [0, 1, 2]),
    ]
    script = [edit(lambda body, case=case: write(body, *case)) for case in cases]
    with OpenAIServer(script) as server:
        embedding = make_one(server)
        for number, case in enumerate(cases):
            texts = [f"{text} {number}" for text in TEXTS]
            np.testing.assert_array_equal(embedding.embed(texts), expected(texts), err_msg=str(case))


@pytest.mark.parametrize(
    ("vector", "says"),
    [
        ([1.0] * 7, "returned 7 numbers for model="),
        ([float("nan")] * 8, not_finite_or_zero()),
        ([None] * 8, not_finite_or_zero()),
        ([0.0] * 8, not_finite_or_zero()),
        ([[1.0] * 8], no_list_of_numbers()),
        ("not base64!", no_list_of_numbers()),
        ("AAA=", no_list_of_numbers()),
        (None, no_list_of_numbers()),
        ({"a": 1}, no_list_of_numbers()),
    ],
)
def test_vector_that_is_none_is_an_error(vector: Any, says: str) -> None:
    with (
        OpenAIServer([edit(lambda body: body["data"][1].update(embedding=vector))]) as server,
        pytest.raises(ServiceError, match=says),
    ):
        openai(server).embed(TEXTS)
    assert len(server.requests) == 1


def test_429_with_retry_after_is_waited_out(waits: list[float]) -> None:
    with OpenAIServer([status(429, retry_after=3)]) as server:
        np.testing.assert_array_equal(openai(server).embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 2
    assert [3 <= wait < 4 for wait in waits] == [True]


def test_500_is_asked_again_as_often_as_configured_and_no_more(waits: list[float]) -> None:
    """TRAPS 21: `max_retries=3` makes 12 requests elsewhere."""
    with OpenAIServer([status(500)] * 50) as server:
        embedding = openai(server, attempts=3)
        for call in (lambda: embedding.get_text_embedding_batch(TEXTS), lambda: embedding.get_query_embedding("q")):
            before = len(server.requests)
            with pytest.raises(ServiceError, match=wording(gave_up(3))):
                call()
            assert len(server.requests) == before + 3


def test_timeout_is_asked_again(waits: list[float]) -> None:
    with OpenAIServer([slow(20)]) as server:
        np.testing.assert_array_equal(openai(server, timeout=0.5).embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 2


def test_malformed_json_is_asked_again_and_then_an_error(waits: list[float]) -> None:
    with (
        OpenAIServer([raw(b'{"data": [{"index": 0, "embe')] * 50) as server,
        pytest.raises(ServiceError, match=wording(not_json_gave_up(2))),
    ):
        openai(server, attempts=2).embed(TEXTS)
    assert len(server.requests) == 2


def test_text_over_the_limit_is_refused_before_any_request() -> None:
    """TRAPS 22 and 38: elsewhere the request fails at the server, or a local model cuts the text."""
    with (
        OpenAIServer() as server,
        pytest.raises(DataError, match=wording(characters("b.md", 5) + ": " + too_many_tokens(NUMBER, ANY, 20))),
    ):
        embed_chunks(openai(server, max_tokens=20), [chunk("fits"), chunk("무궁화 꽃이 " * 20, 5, "b.md")])
    assert server.requests == []


def test_text_that_the_server_alone_finds_too_long_is_an_error() -> None:
    with (
        OpenAIServer(max_tokens=3) as server,
        pytest.raises(ServiceError, match=wording(refused("400: "), "maximum context length is 3 tokens")),
    ):
        compatible(server).embed(["one two three four"])
    assert len(server.requests) == 1


def test_connection_that_breaks_off_inside_an_answer_is_asked_again(waits: list[float]) -> None:
    with OpenAIServer([Fault(hang_up=True)]) as server:
        np.testing.assert_array_equal(openai(server).embed(TEXTS), expected(TEXTS))
    assert len(server.requests) == 2


# What is sent.


def test_texts_are_sent_as_they_are() -> None:
    """TRAPS 22: line ends become blanks elsewhere."""
    texts = ["a\nb", " a \r\n", "<|endoftext|>", "👩‍👩‍👧‍👦 e\u0301"]
    with OpenAIServer() as server:
        openai(server).embed(texts)
    assert server.requests[0].body["input"] == texts


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(1, 6), st.integers(12, 40))
def test_batches_keep_within_items_and_tokens_and_lose_nothing(sizes: list[int], items: int, tokens: int) -> None:
    embedding = make("embedding", "openai_compatible", batch_size=items, batch_tokens=max(tokens, 12), max_tokens=12)
    texts = [f"{number} " * size for number, size in enumerate(sizes)]
    batches = [[texts[at] for at in batch] for batch in embedding.batches(texts, sizes)]
    assert [text for batch in batches for text in batch] == texts
    counts = dict(zip(texts, sizes, strict=True))
    for batch, after in zip(batches, [*batches[1:], None], strict=True):
        filled = sum(counts[text] for text in batch)
        assert len(batch) <= items
        assert filled <= tokens
        if after:  # no batch is smaller than it must be
            assert len(batch) == items or filled + counts[after[0]] > tokens


def test_requests_are_bounded_by_tokens_in_one_call() -> None:
    count = load("cl100k_base").count
    with OpenAIServer(count=count) as server:
        embedding = openai(server, max_tokens=50, batch_tokens=100)
        texts = [f"{number} 무궁화 꽃이 피었습니다" for number in range(20)]
        np.testing.assert_array_equal(embedding.embed(texts), expected(texts))
    sent = [request.body["input"] for request in server.requests]
    assert [text for batch in sent for text in batch] == texts
    assert len(sent) > 1
    assert all(sum(map(count, batch)) <= 100 for batch in sent)


def test_shorter_vectors_are_asked_for_only_where_they_are_wanted() -> None:
    with OpenAIServer(dimensions=1536) as server:
        openai(server, dimensions=1536).embed(["x"])
        openai(server, dimensions=256).embed(["x"])
        compatible(server).embed(["x"])
        compatible(server, dimensions=64, send_dimensions=True).embed(["x"])
    assert [request.body.get("dimensions") for request in server.requests] == [None, 256, None, 64]


def test_both_ways_of_writing_vectors_give_the_same_bits() -> None:
    with OpenAIServer() as server:
        floats = compatible(server, encoding_format="float").embed(TEXTS)
        coded = compatible(server, encoding_format="base64").embed(TEXTS)
    assert [request.body["encoding_format"] for request in server.requests] == ["float", "base64"]
    np.testing.assert_array_equal(floats, coded)


def test_server_that_ignores_the_asked_encoding_is_understood() -> None:
    def as_floats(body: dict[str, Any]) -> None:
        for item, text in zip(body["data"], TEXTS, strict=True):
            item["embedding"] = vector_of(text).tolist()

    with OpenAIServer([edit(as_floats)]) as server:
        np.testing.assert_array_equal(openai(server).embed(TEXTS), expected(TEXTS))


def test_prefixes_and_headings_reach_the_server() -> None:
    with OpenAIServer() as server:
        embedding = compatible(server, document_prefix="passage: ", query_prefix="query: ")
        embed_chunks(embedding, [chunk("text", heading="A > B", path="x/y.pdf")])
        embedding.get_query_embedding("ask")
    assert [request.body["input"] for request in server.requests] == [["passage: A > B\n\ntext"], ["query: ask"]]


def test_tokens_are_counted_with_the_tokenizer_of_the_config(tmp_path: Path) -> None:
    """TRAPS 38: tokens of one tokenizer are not those of another."""
    pytest.importorskip("tokenizers", reason="the extra 'fastembed' is not installed")
    from tiny_model import make_model

    folder = make_model(tmp_path)
    with OpenAIServer() as server:
        assert compatible(server).count_tokens(["apple pear plum"]) == [load("cl100k_base").count("apple pear plum")]
        own = compatible(server, tokenizer=str(folder), max_tokens=5)
        assert own.count_tokens(["apple pear plum"]) == [3 + 2], "with begin and end"
        with pytest.raises(DataError, match="6 tokens"):
            own.embed(["apple pear plum fig"])
    assert server.requests == []


def test_unknown_tokenizer_is_an_error_before_any_request() -> None:
    with OpenAIServer() as server, pytest.raises(ConfigError, match=wording(unknown_tokenizer("cl100k"))):
        compatible(server, tokenizer="cl100k")


# Usage and the key.


def test_usage_is_what_the_server_reported() -> None:
    with OpenAIServer() as server, collect_usage() as usage:
        embedding = openai(server, batch_size=1)
        embedding.embed(["one two", "three"])
        embedding.get_query_embedding("four five six")
    assert usage.tokens("embedding") == Tokens(requests=3, input=6)
    assert server.tokens == 6


@pytest.mark.parametrize("make_one", [openai, compatible])
def test_key_is_in_nothing_that_an_embedding_shows_or_saves(make_one: Any) -> None:
    """TRAPS 22: the key is in `to_dict()` elsewhere."""
    with OpenAIServer(api_key=KEY) as server:
        embedding = make_one(server, api_key_env="OPENAI_API_KEY")
        embedding.embed(["x"])
        shown = [repr(embedding), str(embedding), embedding.to_json(), str(embedding.to_dict()), str(vars(embedding))]
        shown += [str(embedding.to_payload()), str(embedding.model_dump()), repr(embedding.provider)]
        assert KEY not in "\n".join(shown)
        saved = pickle.dumps(embedding)
        assert KEY.encode() not in saved
        again = pickle.loads(saved)
        np.testing.assert_array_equal(again.embed(TEXTS), expected(TEXTS))
        assert again.to_dict() == embedding.to_dict()


def test_missing_key_is_an_error_when_the_embedding_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match=wording(variable_must_hold("OPENAI_API_KEY"))):
        make("embedding", "openai")
    assert make("embedding", "openai_compatible", api_key_env=None)


def test_unknown_model_is_an_error_that_names_the_key() -> None:
    with (
        OpenAIServer([status(404, message="no such model")]) as server,
        pytest.raises(ConfigError, match=wording("embedding: " + wrong_model("nope"), "set embedding.model")),
    ):
        openai(server, model="nope").embed(["x"])


@pytest.mark.parametrize(("option", "make_one"), [("openai", openai), ("openai_compatible", compatible)])
def test_embedding_requests_are_bound_to_the_code_version(option: str, make_one: Any) -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    with OpenAIServer() as server:
        embedding = make_one(server)
        embed_chunks(embedding, [chunk(text, heading=f"H {at}", page=at) for at, text in enumerate(SAMPLES)])
        embedding.get_query_embedding(SAMPLES[0])
    digest = sha256(canonical_json([request.body for request in server.requests]))
    found = {"code_version": getattr(builders, option).code_version, "digest": digest}
    assert json.loads(GOLDEN.read_text())[option] == found


# What openai_compatible can send.


def test_no_encoding_format_is_sent_where_it_is_null() -> None:
    """TRAPS 50: the official client adds base64 by itself."""
    with OpenAIServer() as server:
        made = compatible(server, encoding_format=None)
        np.testing.assert_array_equal(made.embed(TEXTS), expected(TEXTS))
        np.testing.assert_array_equal(asyncio.run(made.aembed(["x"])), expected(["x"]))
    assert [sorted(request.body) for request in server.requests] == [["input", "model"]] * 2


def test_extra_body_is_sent_with_texts_and_questions() -> None:
    with OpenAIServer() as server:
        made = compatible(server, extra_body={"input_type": "passage", "truncate": "NONE"}, encoding_format=None)
        made.embed(TEXTS)
        made.get_query_embedding("what?")
    for request in server.requests:
        assert request.body["input_type"] == "passage"
        assert request.body["truncate"] == "NONE"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model", "set embedding.model"),
        ("input", "remove it"),
        ("dimensions", "set embedding.send_dimensions"),
        ("encoding_format", "set embedding.encoding_format"),
    ],
)
def test_extra_body_must_not_hold_what_is_sent_anyway(name: str, says: str) -> None:
    with OpenAIServer() as server, pytest.raises(ConfigError, match=wording(set_by_ragloom(name), says)):
        compatible(server, extra_body={name: 1})


def test_headers_env_is_sent_and_in_nothing_that_is_shown_or_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ORG", "planted-7")
    with OpenAIServer() as server:
        made = compatible(server, headers_env={"X-Org": "MY_ORG"})
        made.embed(TEXTS)
        assert server.requests[0].headers["X-Org"] == "planted-7"
        for saved in (pickle.dumps(made), repr(made).encode(), json.dumps(made.to_dict()).encode()):
            assert b"planted-7" not in saved
        assert pickle.loads(pickle.dumps(made)).embed(["x"]).shape == (1, 8)
    with pytest.raises(ConfigError, match=wording(variable_must_hold("NOT_SET") + " the header X-Org")):
        compatible(server, headers_env={"X-Org": "NOT_SET"})


def test_query_model_embeds_questions_and_nothing_else(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=10**7)
    with OpenAIServer() as server:
        made = compatible(server, model="passages", query_model="questions", query_prefix="q: ")
        made.use_cache(cache, {"model": "passages", "query_model": "questions"})
        made.embed(["q: same"])
        made.get_query_embedding("same")
        asyncio.run(made.aget_query_embedding("later"))
        made.get_text_embedding("x")
        asked = [(request.body["model"], request.body["input"]) for request in server.requests]
        assert asked == [
            ("passages", ["q: same"]),
            ("questions", ["q: same"]),
            ("questions", ["q: later"]),
            ("passages", ["x"]),
        ]
        again = pickle.loads(pickle.dumps(made))
        again.get_query_embedding("fresh")
        assert server.requests[-1].body["model"] == "questions"
        # another run finds both kinds in the cache, and takes neither for the other
        other = compatible(server, model="passages", query_model="questions", query_prefix="q: ")
        other.use_cache(cache, {"model": "passages", "query_model": "questions"})
        before = len(server.requests)
        other.embed(["q: same"])
        other.get_query_embedding("same")
        assert len(server.requests) == before


@pytest.mark.parametrize("given", [{"extra_body": {"input_type": "passage"}}, {"query_model": "q"}])
def test_keys_that_change_vectors_are_part_of_the_identity_once_they_are_set(given: dict[str, Any]) -> None:
    keys = defaults("embedding", "openai_compatible")
    plain = describe(builders.openai_compatible, keys)
    assert not {"extra_body", "query_model", "headers_env", "max_refused", "encoding_format"} & set(plain)
    assert describe(builders.openai_compatible, keys | given) == plain | given
    same = {"headers_env": {"X-Org": "MY_ORG"}, "max_refused": 0.5, "encoding_format": None}
    assert describe(builders.openai_compatible, keys | same) == plain
