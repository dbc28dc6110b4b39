"""Vectors from a sentence-transformers model (PyTorch)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field, PrivateAttr

from ragloom.components.embedding.base import MAX_GROUP, Embedding, Vectors
from ragloom.errors import ConfigError, require


class SentenceTransformerEmbedding(Embedding):
    """Embedding by `sentence_transformers.SentenceTransformer` on this machine.

    Attributes:
        revision: commit, tag or branch of the model; None = its newest.
        device: `cpu`, `cuda`, `mps`; None = the best there is.
        normalize: whether vectors are scaled to length 1.
        batch_size: texts run at once; the library sorts them by length itself.
    """

    truncation_offered = True

    revision: str | None
    device: str | None
    normalize: bool
    batch_size: int = Field(gt=0)
    _model: Any = PrivateAttr()
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def model_post_init(self, context: Any, /) -> None:
        """Load the model.

        Raises:
            ConfigError: the extra is not installed, the model could not be loaded, or `dimensions` are not its own.
        """
        super().model_post_init(context)
        self.embed_batch_size = MAX_GROUP
        library = require("sentence_transformers", extra="huggingface", option="embedding=huggingface")
        try:
            self._model = library.SentenceTransformer(self.model_name, revision=self.revision, device=self.device)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"embedding: model={self.model_name!r} could not be loaded "
                f"({' '.join(str(error).split())[:200]}); it is downloaded at first use: "
                "check name and network, or set embedding.model to a folder that holds it"
            ) from None
        self._model.max_seq_length = self.max_tokens
        # Prefixes are config keys: a prompt that the model's files add by themselves would come on top of them.
        self._model.default_prompt_name = None
        self.demand_dimensions(self._model.get_sentence_embedding_dimension())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count each text's tokens as the model reads them, special tokens included."""
        with self._lock:  # transformers' tokenizers change their own settings per call
            encoded = self._model.tokenizer(list(texts), add_special_tokens=True, truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def origin(self) -> dict[str, str]:
        """Return the loaded commit of the model, where its files name it."""
        config = getattr(getattr(self._model[0], "auto_model", None), "config", None)
        return {"commit": str(getattr(config, "_commit_hash", None))}

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        """Run the model."""
        with self._lock:
            vectors = self._model.encode(
                texts,
                batch_size=self.batch_size,
                normalize_embeddings=self.normalize,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, dtype=np.float32)
