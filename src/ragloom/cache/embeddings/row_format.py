"""The layout of what is stored: rows that prove themselves, several to a pack. Knows no file.

A row is the SHA-256 of a text, its vector as little-endian float32, and a checksum keyed by the identity of what made
the vector. A row in the wrong place, of another model or with one bit changed is not proven. Rows that were written
together lie in packs: SQLite stores a vector of 1,536 numbers alone in a third more space, and one pack's time of last
use serves all its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

PACK_BYTES = 1 << 16
"""What a pack holds at most, one row aside: reading one row reads its pack."""
_KEY, _CHECK = 32, 16
_FORGOTTEN = bytes(_KEY)


def key_of(text: str) -> bytes:
    """Names a text: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8")).digest()


@dataclass(frozen=True)
class Layout:
    """How one model's rows are written and read.

    Attributes:
        identity: of what makes the vectors, 32 bytes.
        dimensions: of each vector.
    """

    identity: bytes
    dimensions: int

    @property
    def size(self) -> int:
        """Bytes of a row."""
        return _KEY + 4 * self.dimensions + _CHECK

    def packs(self, keys: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> Iterator[tuple[Sequence[bytes], bytes]]:
        """Yields the keys and the content of each pack."""
        step = max(1, PACK_BYTES // self.size)
        exact = np.ascontiguousarray(vectors, dtype="<f4")
        for first in range(0, len(keys), step):
            here = keys[first : first + step]
            yield here, b"".join(self._row(key, exact[first + at].tobytes()) for at, key in enumerate(here))

    def row(self, content: object, place: object, key: bytes) -> Vector | None:
        """Reads a row; None when it is not there, is not the key's, or is damaged."""
        if not isinstance(content, bytes) or not isinstance(place, int) or place < 0:
            return None
        row = content[place * self.size : (place + 1) * self.size]
        if len(row) != self.size or row[:_KEY] != key or row[-_CHECK:] != self._check(row[:-_CHECK]):
            return None
        return np.frombuffer(row, dtype="<f4", count=self.dimensions, offset=_KEY)

    def keys(self, content: object) -> Iterator[tuple[int, bytes]]:
        """Yields place and key of each row of a pack that was not forgotten, damaged or not."""
        if isinstance(content, bytes):
            for place in range(len(content) // self.size):
                key = content[place * self.size : place * self.size + _KEY]
                if key != _FORGOTTEN:
                    yield place, key

    def without(self, content: object, places: Iterable[object], keys: Collection[bytes]) -> bytes:
        """Overwrites the rows of keys with zeros, and damaged rows; another key's sound row stays, and all places."""
        written = bytearray(content) if isinstance(content, bytes) else bytearray()
        for place in places:
            if isinstance(place, int) and 0 <= place < len(written) // self.size:
                key = bytes(written[place * self.size : place * self.size + _KEY])
                if key in keys or self.row(content, place, key) is None:
                    written[place * self.size : (place + 1) * self.size] = bytes(self.size)
        return bytes(written)

    def _row(self, key: bytes, vector: bytes) -> bytes:
        return key + vector + self._check(key + vector)

    def _check(self, content: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=_CHECK, key=self.identity).digest()
