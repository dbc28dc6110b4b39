"""What an extension may build: a plain LlamaIndex object that is not enough is named with what to do, and an LLM's own
exceptions are errors that a person can act on."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import MockLLM

import ragloom
from messages import wording, wording_at_start
from messages.config import method_not_written, no_code_version, other_object
from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_cache import StageCache
from ragloom.components.interface_checks import built
from ragloom.components.llm.extension_llm import ForeignLLM, wrap_extension
from ragloom.config.config import load
from ragloom.errors import ConfigError, DataError, ServiceError
from ragloom.evaluation.callbacks import EvaluationCallbacks
from ragloom.evaluation.runner import Trial

PLAIN = {
    "embedding": (
        "from llama_index.core import MockEmbedding",
        "MockEmbedding(embed_dim=8)",
        "embedding.base.Embedding",
    ),
    "vector_store": (
        "from llama_index.core.vector_stores import SimpleVectorStore",
        "SimpleVectorStore()",
        "choose vector_store=lancedb",
    ),
    "chunking": (
        "from llama_index.core.node_parser import SentenceSplitter",
        "SentenceSplitter()",
        "chunking.base.SpanParser",
    ),
    "analyzer": ("", "object()", "give it a method terms"),
    "source": ("", "None", "source.base.Source"),
    "llm": ("", "'text'", "llama_index.core.llms.LLM"),
    "dataset": ("", "[]", "dataset.base.Dataset"),
}
ON_AN_INDEX = {
    "retriever": ("", "object()", "base_retriever.BaseRetriever"),
    "reranker": ("", "object()", "types.BaseNodePostprocessor"),
    "prompt": ("", "'Answer:'", "ragloom.components.prompt.Prompt"),
}


def extension(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    imports: str,
    made: str,
    *overrides: str,
    signature: str = "()",
    keys: str = "",
) -> Assembly:
    """Chooses an option of a package of one's own."""
    builder = f"def mine{signature}:\n    return {made}\n\n\nmine.code_version = 1\n"
    (place / "my_plain.py").write_text(f"{imports}\n\n\n{builder}")
    (place / "conf" / group).mkdir(parents=True)
    (place / "conf" / group / "mine.yaml").write_text(f"_target_: my_plain.mine\n{keys}\n")
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(__import__("sys").modules, "my_plain", raising=False)
    (config,) = load([f"{group}=mine", "extensions=[my_plain]", *overrides], extra_dir=str(place / "conf"))
    return Assembly(config)


@pytest.mark.parametrize("group", PLAIN)
def test_plain_object_that_is_not_enough_says_what_to_do(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports, made, how = PLAIN[group]
    assembly = extension(tmp_path, monkeypatch, group, imports, made)
    what = "database" if group == "vector_store" else group
    with pytest.raises(ConfigError, match=wording_at_start(other_object(group, how))):
        getattr(assembly, what)


@pytest.mark.parametrize("group", ON_AN_INDEX)
def test_part_of_a_query_engine_that_is_not_enough_says_what_to_do(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports, made, how = ON_AN_INDEX[group]
    overrides = ["reranker.top_n=3"] if group == "retriever" else []
    assembly = extension(tmp_path, monkeypatch, group, imports, made, *overrides)
    index: Any = SimpleNamespace(document=None)
    with pytest.raises(ConfigError, match=wording_at_start(other_object(group, how))):
        assembly.query_engine(index)


@pytest.mark.parametrize("group", ON_AN_INDEX)
def test_part_of_a_query_engine_is_checked_before_an_index_is_built_for_it(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports, made, how = ON_AN_INDEX[group]
    overrides = ["dataset=sample", *(["reranker.top_n=3"] if group == "retriever" else [])]
    assembly = extension(tmp_path, monkeypatch, group, imports, made, *overrides)
    monkeypatch.setattr(Assembly, "ingest", lambda *_, **__: pytest.fail("ingested"))
    with pytest.raises(ConfigError, match=wording_at_start(other_object(group, how))):
        ragloom.evaluate(assembly.config)


@pytest.mark.parametrize(("group", "key"), [("retriever", "top_k"), ("reranker", "top_n")])
def test_builder_that_takes_an_index_is_checked_by_the_class_that_it_returns(
    group: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature, imports = f"(index, *, {key}: int) -> Mine", "class Mine:\n    pass"
    assembly = extension(
        tmp_path, monkeypatch, group, imports, "None", "dataset=sample", signature=signature, keys=f"{key}: 5"
    )
    monkeypatch.setattr(Assembly, "ingest", lambda *_, **__: pytest.fail("ingested"))
    with pytest.raises(ConfigError, match=wording_at_start(other_object(group, ON_AN_INDEX[group][2]))):
        ragloom.evaluate(assembly.config)


def test_checking_a_trial_builds_no_part_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (config,) = load(["dataset=sample", "embedding=openai", "retriever=hybrid", "reranker=mmr"])
    trial = Trial(config, StageCache(None), EvaluationCallbacks())
    trial.check()
    assert "embedding" not in trial.assembly.__dict__


def test_retriever_without_top_k_is_an_error_before_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports = "from llama_index.core.base.base_retriever import BaseRetriever\n\n\nclass Mine(BaseRetriever):\n    def _retrieve(self, query_bundle):\n        return []"
    assembly = extension(tmp_path, monkeypatch, "retriever", imports, "Mine()", "dataset=sample", "reranker.top_n=3")
    monkeypatch.setattr(Assembly, "ingest", lambda *_, **__: pytest.fail("ingested"))
    with pytest.raises(ConfigError, match=r"^retriever: retriever=mine must have the key top_k"):
        ragloom.evaluate(assembly.config)


METHODS = {
    "chunking": ("from ragloom.components.chunking.base import SpanParser as Base", "", "cut"),
    "embedding": ("from ragloom.components.embedding.base import Embedding as Base", "dimensions=8", "compute_vectors"),
    "reranker": ("from ragloom.components.reranker.base import Reranker as Base", "top_n=3", "order"),
}


@pytest.mark.parametrize("group", METHODS)
def test_class_without_its_method_says_which_to_write(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, keys, method = METHODS[group]
    imports = f"{base}\n\n\nclass Mine(Base):\n    pass"
    assembly = extension(tmp_path, monkeypatch, group, imports, f"Mine({keys})")
    with pytest.raises(ConfigError, match=wording_at_start(method_not_written(group, method))):
        built(assembly.config, group)


def test_builder_without_code_version_says_what_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assembly = extension(tmp_path, monkeypatch, "chunking", "", "None")
    del assembly.config.builder("chunking").code_version  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=wording(no_code_version("my_plain.mine"))):
        assembly.description  # noqa: B018


class Failing(MockLLM):
    """Raises what a provider's client raises."""

    def _fail(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("refused by sk-planted-0123456789abcdef")

    chat = complete = stream_chat = stream_complete = _fail

    async def achat(self, *args: Any, **kwargs: Any) -> Any:
        self._fail()

    async def astream_chat(self, *args: Any, **kwargs: Any) -> Any:
        self._fail()

    acomplete = astream_complete = achat


class BreaksOff(MockLLM):
    """Fails after a piece."""

    def stream_chat(self, messages: Any, **kwargs: Any) -> Iterator[ChatResponse]:
        yield ChatResponse(message=ChatMessage("a"), delta="a")
        raise TimeoutError("too slow")


HI = [ChatMessage("hi")]


def _collected(pieces: Any) -> Any:
    async def all_of() -> Any:
        return [piece async for piece in await pieces]

    return asyncio.run(all_of())


WAYS = {
    "chat": lambda llm: llm.chat(HI),
    "achat": lambda llm: asyncio.run(llm.achat(HI)),
    "complete": lambda llm: llm.complete("hi"),
    "acomplete": lambda llm: asyncio.run(llm.acomplete("hi")),
    "stream_chat": lambda llm: list(llm.stream_chat(HI)),
    "stream_complete": lambda llm: list(llm.stream_complete("hi")),
    "astream_chat": lambda llm: _collected(llm.astream_chat(HI)),
    "astream_complete": lambda llm: _collected(llm.astream_complete("hi")),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_exception_of_an_llm_of_ones_own_is_a_service_error_without_secrets(way: Any) -> None:
    with pytest.raises(ServiceError, match=r"^llm: Failing failed \(ConnectionError: refused by \*\*\*\)") as caught:
        way(wrap_extension(Failing(), "llm"))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_llm_of_ones_own_answers_as_it_does_by_itself(way: Any) -> None:
    said = way(wrap_extension(MockLLM(), "llm"))
    last = said[-1] if isinstance(said, list) else said
    text = last.text if hasattr(last, "text") else last.message.content
    assert "hi" in text


def test_llm_of_ones_own_that_breaks_off_is_a_service_error_after_its_pieces() -> None:
    pieces = wrap_extension(BreaksOff(), "judge").stream_chat(HI)
    assert next(pieces).delta == "a"
    with pytest.raises(ServiceError, match="^judge: BreaksOff failed"):
        next(pieces)


def test_llm_of_ones_own_keeps_its_attributes_and_raises_ragloom_errors_as_they_are() -> None:
    class Mine(MockLLM):
        paid: bool = False

        def chat(self, messages: Any, **kwargs: Any) -> Any:
            raise DataError("llm: mine")

    llm = wrap_extension(Mine(max_tokens=7), "llm")
    assert (llm.paid, llm.max_tokens, llm.metadata.num_output) == (False, 7, 7)
    assert not hasattr(llm, "bound")
    with pytest.raises(DataError, match="llm: mine"):
        llm.chat(HI)


def test_llm_of_ragloom_is_asked_directly_and_a_guarded_one_can_be_pickled() -> None:
    (config,) = load([])
    assert not isinstance(Assembly(config).llm, ForeignLLM)
    assert pickle.loads(pickle.dumps(wrap_extension(MockLLM(max_tokens=7), "llm"))).max_tokens == 7
