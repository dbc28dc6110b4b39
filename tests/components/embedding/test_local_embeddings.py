"""embedding=fastembed and huggingface: models on this machine. A tiny ONNX model stands for real ones where it can."""

import json
import pickle
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode

import ragloom.components.embedding as builders
from components.embedding.test_embedding import GOLDEN, SAMPLES, chunk
from embedding_tools import embed_chunks
from made import make
from messages import ANY, wording
from messages.config import at_most, did_you_mean, install_extra
from messages.embedding import (
    characters,
    loaded_at_first_use,
    no_local_folder,
    no_model_pooling,
    not_loaded,
    option_needs_package,
    or_truncate,
    too_many_tokens,
)
from ragloom.components.embedding import onnx_embedding
from ragloom.components.embedding.base import Embedding
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError, DataError
from shared import SHARED, needs_data, needs_model

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'fastembed' is not installed")
tiny_model = pytest.importorskip("tiny_model", reason="onnx (extra 'dev') is not installed")

MINILM = SHARED / "models" / "all-MiniLM-L6-v2-onnx"
TEXTS = ["apple pear", "the of a and plum fig apple", "fig", "unknown words here"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made: Path = tiny_model.make_model(tmp_path / "모델 1")
    return made


def fastembed(model: Path | str, **changed: Any) -> Embedding:
    keys = {"dimensions": tiny_model.DIMENSIONS, "max_length": 16, "normalize": False}
    made: Embedding = make("embedding", "fastembed", model=str(model), **(keys | changed))
    return made


def means(texts: Sequence[str]) -> np.ndarray:
    return np.stack([tiny_model.token_vectors(text).mean(axis=0) for text in texts])


# fastembed: a folder


def test_fastembed_reads_each_token_once_and_no_padding(folder: Path) -> None:
    """The folder's tokenizer.json asks to cut and pad everything to 4 tokens, and the padding's vector is large."""
    np.testing.assert_allclose(fastembed(folder).embed(TEXTS), means(TEXTS), rtol=1e-5)


@given(
    texts=st.lists(st.lists(st.sampled_from(tiny_model.WORDS[4:]), min_size=1, max_size=9).map(" ".join), min_size=1)
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_fastembed_vectors_do_not_depend_on_batch_or_order(folder: Path, texts: list[str]) -> None:
    expected = means(texts)
    for batch_size in (1, 3, 64):
        np.testing.assert_allclose(fastembed(folder, batch_size=batch_size).embed(texts), expected, rtol=1e-5)


def test_fastembed_runs_batches_sorted_by_length(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[int]] = []
    run = onnx_embedding.FolderModel.run

    def counting(self: Any, texts: list[str]) -> Any:
        batches.append([len(text.split()) for text in texts])
        return run(self, texts)

    embedding = fastembed(folder, batch_size=2)  # loading runs one text
    monkeypatch.setattr(onnx_embedding.FolderModel, "run", counting)
    embedding.embed(["a", "a a a a", "a a", "a a a a a", "a a a"])
    assert batches == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda v: v.mean(axis=0)), ("cls", lambda v: v[0]), ("last_token", lambda v: v[-1])],
)
def test_fastembed_pools_as_configured(folder: Path, pooling: str, pool: Any) -> None:
    expected = np.stack([pool(tiny_model.token_vectors(text)) for text in TEXTS])
    np.testing.assert_allclose(fastembed(folder, pooling=pooling).embed(TEXTS), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (None, "mean"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last_token"),
    ],
)
def test_fastembed_pooling_auto_is_what_the_folder_says(folder: Path, config: Any, pooling: str) -> None:
    if config is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    np.testing.assert_array_equal(
        fastembed(folder, pooling="auto").embed(TEXTS), fastembed(folder, pooling=pooling).embed(TEXTS)
    )


def test_fastembed_pooling_that_is_not_known_is_an_error(folder: Path) -> None:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ConfigError, match=wording(no_model_pooling())):
        fastembed(folder, pooling="auto")


def test_fastembed_normalizes_to_length_one(folder: Path) -> None:
    lengths = np.linalg.norm(means(TEXTS), axis=1, keepdims=True)
    np.testing.assert_allclose(fastembed(folder, normalize=True).embed(TEXTS), means(TEXTS) / lengths, rtol=1e-5)


def test_fastembed_counts_its_own_tokens_and_refuses_longer_texts(folder: Path) -> None:
    """TRAPS 38: the folder's tokenizer.json cuts at 4 tokens without a word; `max_length` is a key."""
    embedding = fastembed(folder, max_length=6)
    assert embedding.count_tokens(["", "apple", "a a a a a a a a"]) == [2, 3, 10]
    np.testing.assert_allclose(embedding.embed(["apple pear plum fig"]), means(["apple pear plum fig"]), rtol=1e-5)
    with pytest.raises(
        DataError, match=wording(characters("b.md", 3, 12) + ": " + too_many_tokens(7, ANY, 6) + or_truncate())
    ):
        embed_chunks(embedding, [chunk("fig"), chunk("a a a a a", 3, "b.md")])
    assert embedding.truncated == 0


def test_fastembed_truncates_only_when_configured_and_counts_it(folder: Path) -> None:
    embedding = fastembed(folder, max_length=6, overlong="truncate")
    found = embed_chunks(embedding, [chunk("apple pear plum fig the of"), chunk("fig")])
    np.testing.assert_allclose(found, means(["apple pear plum fig", "fig"]), rtol=1e-5)
    assert embedding.truncated == 1
    embedding([TextNode(text="a a a a a"), TextNode(text="a a a a a a")])
    embedding.get_query_embedding("a a a a a")
    assert embedding.truncated == 4


def test_fastembed_can_be_sent_to_another_process(folder: Path) -> None:
    embedding = fastembed(folder)
    again = pickle.loads(pickle.dumps(embedding))
    np.testing.assert_array_equal(again.embed(TEXTS), embedding.embed(TEXTS))
    assert embedding.to_dict()["model_name"] == str(folder)


def test_fastembed_takes_a_model_that_has_pooled_already(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(
        onnx.helper.make_node("ReduceMean", ["last_hidden_state"], ["pooled"], axes=[1], keepdims=0)
    )
    del model.graph.output[:]
    shape = ["batch", tiny_model.DIMENSIONS]
    model.graph.output.append(onnx.helper.make_tensor_value_info("pooled", onnx.TensorProto.FLOAT, shape))
    onnx.save(model, folder / "model.onnx")
    np.testing.assert_allclose(fastembed(folder, batch_size=1).embed(TEXTS), means(TEXTS), rtol=1e-5)


def test_fastembed_finds_a_model_in_the_subfolder_that_exporters_use(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert fastembed(folder).embed(["fig"]).shape == (1, tiny_model.DIMENSIONS)


@pytest.mark.parametrize(
    ("spoil", "changed", "says"),
    [
        (lambda f: (f / "model.onnx").unlink(), {}, "must hold model.onnx or .*it holds config.json, tokenizer.json"),
        (lambda f: (f / "model.onnx").write_bytes(b"no"), {}, "must be an ONNX model"),
        (lambda f: (f / "tokenizer.json").unlink(), {}, "must hold tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{"), {}, "tokenizer.json must be a tokenizer"),
        (lambda f: (f / "config.json").write_text("{"), {}, "must be JSON"),
        (lambda f: None, {"max_length": 65}, wording(at_most("max_length=65", 64))),
        (lambda f: None, {"dimensions": 5}, "dimensions=5 must be 6"),
    ],
)
def test_fastembed_folder_that_is_not_as_configured_is_an_error(
    folder: Path, spoil: Any, changed: dict[str, Any], says: str
) -> None:
    spoil(folder)
    with pytest.raises(ConfigError, match=says):
        fastembed(folder, **changed)


def test_fastembed_output_is_bound_to_its_code_version(folder: Path) -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    embedding = fastembed(folder, normalize=True, document_prefix="the ")
    found = embed_chunks(embedding, [chunk(text, heading="fig") for text in TEXTS])
    digest = sha256(canonical_json((np.round(found.astype(np.float64), 3) + 0.0).tolist()))
    assert json.loads(GOLDEN.read_text())["fastembed"] == {
        "code_version": builders.fastembed.code_version,
        "digest": digest,
    }


# fastembed: a name


def test_fastembed_name_that_is_unknown_is_an_error_with_the_nearest() -> None:
    pytest.importorskip("fastembed")
    with pytest.raises(ConfigError, match=wording(did_you_mean("sentence-transformers/all-MiniLM-L6-v2"))):
        fastembed("sentence-transformers/all-MiniLM-L6-v3")


def test_fastembed_name_with_a_pooling_is_an_error() -> None:
    pytest.importorskip("fastembed")
    with pytest.raises(ConfigError, match=r"set embedding\.pooling=auto"):
        fastembed("sentence-transformers/all-MiniLM-L6-v2", pooling="cls")


def test_fastembed_model_that_cannot_be_downloaded_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("fastembed")

    class Offline(library.TextEmbedding):  # type: ignore[misc, name-defined]
        def __init__(self, *_: Any, **__: Any) -> None:
            raise OSError("no route")

    monkeypatch.setattr(library, "TextEmbedding", Offline)
    with pytest.raises(ConfigError, match=wording(not_loaded("", " (no route)" + loaded_at_first_use()))):
        fastembed("sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.model
@needs_model("all-MiniLM-L6-v2-onnx")
def test_fastembed_name_gives_what_its_folder_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("fastembed")
    real = library.TextEmbedding

    class Local(real):  # type: ignore[misc, valid-type]
        """What a download would bring is here already."""

        def __init__(self, *args: Any, **fields: Any) -> None:
            super().__init__(*args, specific_model_path=str(MINILM), **fields)

    monkeypatch.setattr(library, "TextEmbedding", Local)
    keys = {"dimensions": 384, "max_length": 256, "normalize": True, "overlong": "truncate"}
    texts = [*SAMPLES, "무궁화 꽃이 피었습니다. " * 60, "The frame is covered for ten years. " * 20]
    named = fastembed("sentence-transformers/all-MiniLM-L6-v2", **keys)
    local = fastembed(MINILM, **keys)
    assert named.count_tokens(texts) == local.count_tokens(texts)
    assert max(named.count_tokens(texts)) > 256
    cosines = (named.embed(texts) * local.embed(texts)).sum(axis=1)
    assert cosines.min() > 0.99999
    assert named.truncated == local.truncated > 0


# fastembed: against the reference


def reference(texts: Sequence[str]) -> np.ndarray:
    """all-MiniLM-L6-v2 as sentence-transformers defines it, written again: one text at a time, without padding.

    Its model card: at most 256 word pieces, mean of the token vectors over the attention mask, length 1.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MINILM / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(str(MINILM / "model.onnx"), providers=["CPUExecutionProvider"])
    found = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        vector = session.run(None, given)[0][0].astype(np.float64).mean(axis=0)
        found.append(vector / np.linalg.norm(vector))
    return np.stack(found)


@pytest.mark.model
@pytest.mark.data
@needs_model("all-MiniLM-L6-v2-onnx")
@needs_data("korquad1-dev")
@needs_data("scifact")
def test_fastembed_equals_the_reference_of_minilm_also_for_long_texts() -> None:
    korquad = json.loads((SHARED / "data/korquad1-dev/KorQuAD_v1.0_dev.json").read_text("utf-8"))
    contexts = [paragraph["context"] for article in korquad["data"][:6] for paragraph in article["paragraphs"]][:12]
    with (SHARED / "data/scifact/corpus.jsonl").open(encoding="utf-8") as lines:
        abstracts = [json.loads(line)["text"] for line, _ in zip(lines, range(20), strict=False)]
    texts = [*SAMPLES, *contexts, *abstracts, abstracts[0][:80], contexts[0][:40]]
    keys = {"dimensions": 384, "max_length": 256, "normalize": True, "batch_size": 8}
    embedding = fastembed(MINILM, overlong="truncate", **keys)
    long = sum(tokens > 256 for tokens in embedding.count_tokens(texts))
    assert long >= 10
    cosines = (embedding.embed(texts) * reference(texts)).sum(axis=1)
    assert cosines.min() > 0.9999
    assert embedding.truncated == long
    with pytest.raises(DataError, match=wording(too_many_tokens("", ANY, 256))):
        fastembed(MINILM, **keys).embed(texts)


# huggingface

MODELS: list[Any] = []
"""Those that `FakeTransformer` made, in order."""


class FakeTransformer:
    """Answers as `sentence_transformers.SentenceTransformer` 5 does: words are tokens, a vector is (letters, 1)."""

    max_seq_length = 128
    default_prompt_name: str | None = "document"

    def __init__(self, name: str, revision: str | None = None, device: str | None = None) -> None:
        if name == "missing":
            raise OSError("missing is not a local folder\nand is not a valid model identifier")
        self.name, self.revision, self.device = name, revision, device
        self.seen: list[str] = []
        MODELS.append(self)

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def tokenizer(self, texts: list[str], *, add_special_tokens: bool, truncation: bool, verbose: bool) -> Any:
        assert add_special_tokens
        assert not truncation
        return {"input_ids": [[1, *range(len(text.split())), 2] for text in texts]}

    def encode(
        self,
        texts: list[str],
        *,
        batch_size: int,
        normalize_embeddings: bool,
        convert_to_numpy: bool,
        show_progress_bar: bool,
    ) -> np.ndarray:
        assert self.default_prompt_name is None, "the model would put its own prompt before the prefix"
        self.seen += texts
        vectors = np.array([[len(text), 1] for text in texts], dtype=np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if normalize_embeddings else vectors


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeTransformer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


def huggingface(**changed: Any) -> Any:
    return make("embedding", "huggingface", **({"model": "m", "dimensions": 2, "max_length": 6} | changed))


@pytest.mark.usefixtures("transformers")
def test_huggingface_sets_length_revision_and_prefixes() -> None:
    embedding = huggingface(revision="abc", device="cpu", document_prefix="passage: ", query_prefix="query: ")
    model = MODELS[-1]
    assert (model.name, model.revision, model.device, model.max_seq_length) == ("m", "abc", "cpu", 6)
    np.testing.assert_allclose(np.linalg.norm(embed_chunks(embedding, [chunk("text")]), axis=1), 1)
    embedding.get_query_embedding("ask")
    assert model.seen == ["passage: text", "query: ask"]


@pytest.mark.usefixtures("transformers")
def test_huggingface_refuses_longer_texts_and_truncates_only_when_configured() -> None:
    """TRAPS 38: the library cuts off silently."""
    with pytest.raises(DataError, match=wording(characters("a.md", 0, 9) + ": " + too_many_tokens(7, "m", 6))):
        embed_chunks(huggingface(), [chunk("a a a a a")])
    embedding = huggingface(overlong="truncate")
    embed_chunks(embedding, [chunk("a a a a a"), chunk("a")])
    assert embedding.truncated == 1


@pytest.mark.usefixtures("transformers")
def test_huggingface_model_that_is_not_as_configured_is_an_error() -> None:
    with pytest.raises(ConfigError, match="dimensions=3 must be 2"):
        huggingface(dimensions=3)
    with pytest.raises(ConfigError, match=wording(no_local_folder("missing"))):
        huggingface(model="missing")


@pytest.mark.usefixtures("transformers")
def test_huggingface_can_be_sent_to_another_process() -> None:
    embedding = huggingface()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedding)).embed(["x"]), embedding.embed(["x"]))


@pytest.mark.usefixtures("transformers")
def test_huggingface_texts_are_bound_to_its_code_version() -> None:
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    embedding = huggingface(max_length=99, document_prefix="passage: ")
    embed_chunks(embedding, [chunk(text, heading="H") for text in SAMPLES])
    found = {"code_version": builders.huggingface.code_version, "digest": sha256(canonical_json(MODELS[-1].seen))}
    assert json.loads(GOLDEN.read_text())["huggingface"] == found


@pytest.mark.parametrize(
    ("option", "module", "extra"),
    [("huggingface", "sentence_transformers", "huggingface"), ("fastembed", "fastembed", "fastembed")],
)
def test_missing_extra_is_an_error_that_names_the_command(
    option: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigError, match=wording(option_needs_package(f"embedding={option}"), f"run: {install_extra(extra)}")
    ):
        make("embedding", option)
