"""Cross-encoder reranker: one model score per question and passage.

ONNX Runtime runs them, from a local folder or by a name of fastembed's list; both are tokenised, cut and batched here,
so that the same model gives the same scores either way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field

from ragloom.components.reranker.base import Order, Reranker, by_score, passage
from ragloom.errors import ConfigError, DataError, ServiceError, nearest, require
from ragloom.providers.model_download import load_listed

_OPTION = "reranker=cross_encoder"
_EXTRA = "fastembed"


class PairModel:
    """An ONNX cross-encoder with its tokenizer.

    Args:
        session: an `onnxruntime.InferenceSession`.
        tokenizer: a `tokenizers.Tokenizer`; its truncation and padding are set here.
        name: for messages.
        max_length: tokens of a pair, special tokens included.

    Raises:
        ConfigError: the model does not take tokens, does not give one score a pair, or not at `max_length`.
    """

    def __init__(self, session: Any, tokenizer: Any, name: str, max_length: int) -> None:
        self._session = session
        self._name = name
        self._max_length = max_length
        padding = tokenizer.padding or {}
        marks = (tokenizer.token_to_id(mark) for mark in ("[PAD]", "<pad>"))
        self._pad = padding.get("pad_id", next((number for number in marks if number is not None), 0))
        self._pad_type = padding.get("pad_type_id", 0)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a passage is text
        self._tokenizer = tokenizer
        self._inputs = {item.name for item in session.get_inputs()}
        self._probe()

    def _probe(self) -> None:
        """Score one pair of full length, to find memory limits early."""
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or "input_ids" not in self._inputs:
            raise ConfigError(
                f"reranker: reranker.model={self._name!r} must take input_ids, attention_mask and token_type_ids; "
                f"it takes {', '.join(sorted(self._inputs))}"
            )
        row = [self._pad] * self._max_length
        try:
            self._run([(row, [0] * self._max_length)])
        except ServiceError as error:
            raise ConfigError(
                f"reranker: reranker.max_length={self._max_length} must fit reranker.model={self._name!r}; {error}"
            ) from error

    def encode(self, question: str, passages: list[str]) -> list[tuple[list[int], list[int], int]]:
        """Tokenises pairs.

        Returns:
            for each passage token ids and type ids, both cut to `max_length` by shortening the passage, and how many
            tokens the whole pair has.

        Raises:
            DataError: the question alone leaves no room for a passage.
        """
        alone = len(self._tokenizer.encode(question, "").ids)
        if alone >= self._max_length:
            raise DataError(
                f"reranker: the question has {alone} tokens with the model's marks, which must be fewer than "
                f"reranker.max_length={self._max_length}; shorten it"
            )
        encoded = []
        for whole in self._tokenizer.encode_batch([(question, text) for text in passages]):
            ids, types = list(whole.ids), list(whole.type_ids)
            excess = len(ids) - self._max_length
            if excess > 0:
                # The passage's last tokens go; the marks after it stay.
                last = max(at for at, part in enumerate(whole.sequence_ids) if part == 1)
                del ids[last - excess + 1 : last + 1], types[last - excess + 1 : last + 1]
            encoded.append((ids, types, len(whole.ids)))
        return encoded

    def score(self, pairs: list[tuple[list[int], list[int]]], batch_size: int) -> list[float]:
        """Score encoded pairs in batches of similar length, in input order.

        Raises:
            ServiceError: the model fails, or a score is not finite.
        """
        scores = [0.0] * len(pairs)
        by_length = sorted(range(len(pairs)), key=lambda at: len(pairs[at][0]))
        for start in range(0, len(pairs), batch_size):
            batch = by_length[start : start + batch_size]
            for at, score in zip(batch, self._run([pairs[at] for at in batch]), strict=True):
                scores[at] = float(score)
        return scores

    def _run(self, batch: list[tuple[list[int], list[int]]]) -> npt.NDArray[np.float32]:
        longest = max(len(ids) for ids, _ in batch)
        shape = (len(batch), longest)
        arrays = {
            "input_ids": np.full(shape, self._pad, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.full(shape, self._pad_type, dtype=np.int64),
        }
        for row, (ids, types) in enumerate(batch):
            arrays["input_ids"][row, : len(ids)] = ids
            arrays["attention_mask"][row, : len(ids)] = 1
            arrays["token_type_ids"][row, : len(ids)] = types
        try:
            output = self._session.run(None, {name: arrays[name] for name in self._inputs})[0]
        except Exception as error:
            raise ServiceError(f"reranker: the model failed: {str(error).strip().splitlines()[0]}") from error
        if output.size != len(batch):
            raise ServiceError(f"reranker: the model must give one score a pair; it gave {list(output.shape)}")
        scores: npt.NDArray[np.float32] = output.reshape(len(batch))
        if not np.isfinite(scores).all():
            raise ServiceError("reranker: the model gave a score that is not a finite number")
        return scores


def load(model: str, max_length: int) -> PairModel:
    """Load a cross-encoder from a folder or by fastembed's name.

    A named model is downloaded at its first use.

    Raises:
        ConfigError: there is no such folder or name, files are missing, or the extra is not installed.
        ServiceError: the download failed.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder, model, max_length)
    encoders = require("fastembed.rerank.cross_encoder", extra=_EXTRA, option=_OPTION)
    listed = encoders.TextCrossEncoder.list_supported_models()
    known = [item["model"] for item in listed]
    if model not in known:
        raise ConfigError(
            f"reranker: reranker.model={model!r} must be a folder with model.onnx and tokenizer.json, or a "
            f"cross-encoder of fastembed's list{nearest(model, known)}"
        )
    try:
        encoder = load_listed(encoders.TextCrossEncoder, model, listed).model
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ServiceError(
            f"reranker: reranker.model={model!r} could not be loaded: {reason}; "
            "check the network, or give a local folder"
        ) from error
    # fastembed 0.9 reads the length limit from the model's files and cuts silently: only its download, session and
    # tokenizer are used (`test_cross_encoder_by_name_scores_as_from_a_folder` holds these two names).
    return PairModel(encoder.model, encoder.tokenizer, model, max_length)


def _from_folder(folder: Path, name: str, max_length: int) -> PairModel:
    runtime = require("onnxruntime", extra=_EXTRA, option=_OPTION)
    tokenizers = require("tokenizers", extra=_EXTRA, option=_OPTION)
    files = [folder / "model.onnx", folder / "tokenizer.json"]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ConfigError(
            f"reranker: reranker.model={name!r} must be a folder with model.onnx and tokenizer.json; "
            f"it lacks {' and '.join(missing)}"
        )
    try:
        session = runtime.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
        tokenizer = tokenizers.Tokenizer.from_file(str(files[1]))
    except Exception as error:
        raise ConfigError(
            f"reranker: reranker.model={name!r} must hold a readable model.onnx and tokenizer.json; "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return PairModel(session, tokenizer, name, max_length)


class CrossEncoder(Reranker):
    """Reranker by a cross-encoder's raw output, higher is better.

    Nogueira and Cho: Passage Re-ranking with BERT, arXiv 1901.04085, 2019. Equal scores keep the retriever's order.

    Attributes:
        model: scores the pairs.
    """

    batch_size: int
    max_length: int
    on_too_long: Literal["cut", "error"]
    model: PairModel = Field(exclude=True, repr=False)

    def order(self, nodes: list[NodeWithScore], query: QueryBundle) -> Order:
        """Order by the model's scores."""
        encoded = self.model.encode(query.query_str, [passage(node) for node in nodes])
        too_long = [at for at, (_, _, tokens) in enumerate(encoded) if tokens > self.max_length]
        if too_long and self.on_too_long == "error":
            worst = max(too_long, key=lambda at: encoded[at][2])
            source = nodes[worst].node.ref_doc_id
            raise DataError(
                f"reranker: {len(too_long)} of {len(nodes)} pairs have more than reranker.max_length="
                f"{self.max_length} tokens, the longest {encoded[worst][2]} (document {source!r}); "
                "cut smaller chunks, or set reranker.on_too_long=cut"
            )
        self.count("truncated passages", len(too_long))
        return by_score(self.model.score([(ids, types) for ids, types, _ in encoded], self.batch_size))
