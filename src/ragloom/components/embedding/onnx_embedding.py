"""Vectors from ONNX Runtime: a model folder, or fastembed's list.

A folder is run without fastembed: fastembed 0.9.1 takes the maximum length from tokenizer_config.json, cuts longer
texts without a word, and needs a registration per process for a model that is not in its list.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from ragloom.components.embedding.base import MAX_GROUP, Embedding, Vectors
from ragloom.errors import ConfigError, nearest, require
from ragloom.providers.model_download import load_listed

Pooling = Literal["auto", "mean", "cls", "last_token"]

_MODEL_FILES = ("model.onnx", "onnx/model.onnx")
_HIDDEN = ("last_hidden_state", "token_embeddings")
_OPTION = "embedding=fastembed"
_SORTED_BATCHES = 64
_AT_ONCE = 4
"""Texts of a batch that the model reads at once: few enough to stay in the CPU's cache. `benchmarks/embedding.py`: with
MiniLM and chunks of 173 tokens, 32 take a quarter more processor time (ONNX Runtime 1.32, 1 MB of cache per core)."""


class OnnxEmbedding(Embedding):
    """Embedding by ONNX Runtime on this machine.

    Attributes:
        pooling: how token vectors become one; `auto` = as the model's files, or fastembed's list, say.
        normalize: whether vectors are scaled to length 1.
        batch_size: texts of a batch; they are sorted by length, so that little padding is computed.
        threads: of ONNX Runtime; None = one per core.
        cache_dir: where fastembed keeps what it downloads; None = its own default.
    """

    truncation_offered = True

    pooling: Pooling
    normalize: bool
    batch_size: int = Field(gt=0)
    threads: int | None
    cache_dir: str | None
    _model: FolderModel | _ListedModel = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the model.

        Raises:
            ConfigError: the model, its length or its dimensions are not what the config says, or it is not here and
                could not be downloaded.
        """
        super().model_post_init(context)
        self.embed_batch_size = MAX_GROUP
        folder = Path(self.model_name).expanduser()
        if folder.is_dir():
            self._model = FolderModel(folder, int(self.max_tokens or 0), self.pooling, self.threads)
        else:
            self._model = _ListedModel(self)
        self.demand_dimensions(self.compute_vectors(["a"], None).shape[1])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens as the model reads them, special tokens included."""
        return [len(encoding) for encoding in self._model.tokenizer.encode_batch_fast(list(texts))]

    @property
    def window(self) -> int:
        """Batches' worth of texts that are sorted together."""
        return _SORTED_BATCHES * self.batch_size

    def is_full(self, texts: int, tokens: int) -> bool:
        """Return whether a batch need not wait for more."""
        return texts >= self.batch_size

    def batches(self, texts: list[str], counts: list[int] | None) -> Iterator[Sequence[int]]:
        """Sort texts by length, so that little padding is computed."""
        lengths = self.count_tokens(texts) if counts is None else counts
        order = np.argsort(lengths, kind="stable")[::-1].tolist()
        for first in range(0, len(texts), self.batch_size):
            yield order[first : first + self.batch_size]

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Run the model."""
        parts = [texts[first : first + _AT_ONCE] for first in range(0, len(texts), _AT_ONCE)]
        vectors = np.concatenate([self._model.run(part) for part in parts])
        return _unit(vectors) if self.normalize else vectors

    def origin(self) -> dict[str, str]:
        """Return a named model's files and fastembed's version."""
        return self._model.origin()


class FolderModel:
    """A model folder: `model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`."""

    def __init__(self, folder: Path, max_length: int, pooling: Pooling, threads: int | None) -> None:
        self._pooling = _pooling_of(folder) if pooling == "auto" else pooling
        self.tokenizer, self._cutting = _tokenizers(folder, max_length)
        self._padding = _padding_number(folder, self.tokenizer)
        self._session = _session(folder, threads)
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        names = [entry.name for entry in self._session.get_outputs()]
        self._output = next((name for name in _HIDDEN if name in names), names[0])
        _check_length(folder, max_length)

    def run(self, texts: list[str]) -> Vectors:
        """Embed one batch, cut at the maximum length: [n, dim] float32."""
        encoded = [encoding.ids for encoding in self._cutting.encode_batch_fast(texts)]
        longest = max(map(len, encoded))
        ids = np.full((len(texts), longest), self._padding, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feed = {name: value for name, value in inputs.items() if name in self._inputs}
        return _pooled(self._session.run([self._output], feed)[0], mask, self._pooling)

    def origin(self) -> dict[str, str]:
        """Return no revision: the folder itself is the model."""
        return {}


class _ListedModel:
    """A model of fastembed's list, downloaded at first use."""

    def __init__(self, settings: OnnxEmbedding) -> None:
        fastembed = require("fastembed", extra="fastembed", option=_OPTION)
        tokenizers = require("tokenizers", extra="fastembed", option=_OPTION)
        name = settings.model_name
        listed = fastembed.TextEmbedding.list_supported_models()
        known = [model["model"] for model in listed]
        if name.lower() not in (model.lower() for model in known):
            raise ConfigError(
                f"embedding: model={name!r} must be a folder with model.onnx and tokenizer.json, or a model of "
                f"fastembed's list{nearest(name, known)}"
            )
        if settings.pooling != "auto":
            raise ConfigError(
                f"embedding: pooling={settings.pooling} must be auto for {name!r}, whose pooling fastembed knows; "
                "set embedding.pooling=auto"
            )
        try:
            make = functools.partial(fastembed.TextEmbedding, cache_dir=settings.cache_dir, threads=settings.threads)
            self._text = load_listed(make, name, listed)
        except Exception as error:  # noqa: BLE001 - hub, network and archive errors have no common type
            raise ConfigError(
                f"embedding: model={name!r} could not be loaded ({' '.join(str(error).split())[:200]}); it is "
                "downloaded at first use: check the network, or set embedding.model to a folder that holds it"
            ) from None
        cutting = getattr(self._text.model, "tokenizer", None)
        if cutting is None:
            raise ConfigError(f"embedding: model={name!r} must be a text model with a tokenizer.json; choose another")
        self.tokenizer = tokenizers.Tokenizer.from_str(cutting.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # fastembed's own limit comes from the model's files, which may disagree with the model [38].
        cutting.enable_truncation(max_length=settings.max_tokens)

    def run(self, texts: list[str]) -> Vectors:
        return np.stack(list(self._text.embed(texts, batch_size=len(texts)))).astype(np.float32)

    def origin(self) -> dict[str, str]:
        # fastembed has changed the pooling of models of its list between versions, under the same names.
        return {"fastembed": importlib.metadata.version("fastembed"), "files": _named_files(self._text.model)}


def _named_files(model: Any) -> str:
    """Hash the content of a model's ONNX files."""
    folder = Path(model._model_dir)
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.onnx*")):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _tokenizers(folder: Path, max_length: int) -> tuple[Any, Any]:
    """Load a folder's tokenizer twice: to count, and to cut at `max_length`."""
    tokenizers = require("tokenizers", extra="fastembed", option=_OPTION)
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"embedding: model={str(folder)!r} must hold tokenizer.json; it holds {_listing(folder)}")
    # Files ship with their own limits and padding: all-MiniLM-L6-v2's pads and cuts everything to 128 [38].
    try:
        counting, cutting = (tokenizers.Tokenizer.from_file(str(file)) for _ in range(2))
    except Exception as error:  # noqa: BLE001 - the package raises bare Exception
        raise ConfigError(
            f"embedding: {file} must be a tokenizer as the package tokenizers writes it; {error}"
        ) from None
    for tokenizer in (counting, cutting):
        tokenizer.no_padding()
        tokenizer.no_truncation()
    cutting.enable_truncation(max_length=max_length)
    return counting, cutting


def _session(folder: Path, threads: int | None) -> Any:
    runtime = require("onnxruntime", extra="fastembed", option=_OPTION)
    file = next((folder / name for name in _MODEL_FILES if (folder / name).is_file()), None)
    if file is None:
        raise ConfigError(
            f"embedding: model={str(folder)!r} must hold {' or '.join(_MODEL_FILES)}; it holds {_listing(folder)}"
        )
    options = runtime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions have no common type
        raise ConfigError(f"embedding: {file} must be an ONNX model; {' '.join(str(error).split())[:200]}") from None


def _pooling_of(folder: Path) -> Pooling:
    """Read sentence-transformers' `1_Pooling/config.json`; without it, mean, its default."""
    pooling = _json(folder / "1_Pooling" / "config.json")
    if pooling.get("pooling_mode_cls_token"):
        return "cls"
    if pooling.get("pooling_mode_lasttoken"):
        return "last_token"
    if pooling and not pooling.get("pooling_mode_mean_tokens"):
        raise ConfigError(
            f"embedding: pooling=auto must find mean, cls or last-token pooling in {folder / '1_Pooling/config.json'}; "
            "set embedding.pooling"
        )
    return "mean"


def _check_length(folder: Path, max_length: int) -> None:
    positions = _json(folder / "config.json").get("max_position_embeddings")
    if isinstance(positions, int) and max_length > positions:
        raise ConfigError(
            f"embedding: max_length={max_length} must be at most {positions}, the positions that the model in {folder} "
            f"knows; set embedding.max_length={positions} or less"
        )


def _padding_number(folder: Path, tokenizer: Any) -> int:
    """Look up the padding token, which is masked out anyway."""
    number = _json(folder / "config.json").get("pad_token_id")
    for token in ("[PAD]", "<pad>"):
        number = tokenizer.token_to_id(token) if number is None else number
    return int(number or 0)


def _pooled(output: npt.NDArray[Any], mask: npt.NDArray[np.int64], pooling: Pooling) -> Vectors:
    """Pool token vectors: `[n, tokens, dim]` or pooled to `[n, dim] float32`."""
    pooled: npt.NDArray[Any]
    if output.ndim == 2:
        pooled = output
    elif pooling == "cls":
        pooled = output[:, 0]
    elif pooling == "last_token":
        pooled = output[np.arange(len(output)), mask.sum(axis=1) - 1]
    else:
        weights = mask[:, :, None].astype(np.float32)
        pooled = (output * weights).sum(axis=1) / weights.sum(axis=1)
    return pooled.astype(np.float32)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"embedding: {file} must be JSON; {error}") from None
    return value if isinstance(value, dict) else {}


def _listing(folder: Path) -> str:
    return ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
