"""An embedding that ends its process at a certain text, as native code that crashes does."""

import os
import signal

from ragloom.components.embedding.base import Vectors
from ragloom.components.embedding.hashing_embedding import HashingEmbedding

POISON = "POISON"


class PoisonedEmbedding(HashingEmbedding):
    """Hashing that a text kills."""

    def compute_vectors(self, texts: list[str], counts: list[int] | None) -> Vectors:
        if any(POISON in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compute_vectors(texts, counts)
