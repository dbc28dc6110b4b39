"""Byte layout of cached vectors: packs of rows with checksums.

A row is the SHA-256 of a text, its vector as little-endian float32, and a checksum keyed by the identity of the model:
a row in the wrong place, of another model or with one changed bit fails it. Rows that are written together share a
pack. One row per record would need a third more space for vectors of 1,536 numbers, or pages so large that every new
entry writes several times as much; the time of last use is also kept per pack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

PACK_BYTES = 1 << 16
"""Size limit of a pack, though it holds at least one row; reading one row reads its pack."""
_KEY, _CHECKSUM = 32, 16


def key_of(text: str) -> bytes:
    """Return the key of a text: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8")).digest()


@dataclass(frozen=True)
class RowFormat:
    """Writes and reads the rows of one model.

    Attributes:
        identity: of all that decides the vectors, 32 bytes.
        dimensions: of each vector.
    """

    identity: bytes
    dimensions: int

    @property
    def size(self) -> int:
        """Bytes of a row."""
        return _KEY + 4 * self.dimensions + _CHECKSUM

    def packs(self, keys: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> Iterator[tuple[Sequence[bytes], bytes]]:
        """Yield keys and content of each pack of `[n, dimensions] float32`."""
        step = max(1, PACK_BYTES // self.size)
        exact = np.ascontiguousarray(vectors, dtype="<f4")
        for first in range(0, len(keys), step):
            pack = keys[first : first + step]
            rows = (key + vector.tobytes() for key, vector in zip(pack, exact[first : first + step], strict=True))
            yield pack, b"".join(row + self._checksum(row) for row in rows)

    def vector(self, content: object, place: object, key: bytes) -> Vector | None:
        """Read a vector; None if missing, damaged or of another key."""
        if not isinstance(content, bytes) or not isinstance(place, int) or place < 0:
            return None
        row = content[place * self.size : (place + 1) * self.size]
        if len(row) != self.size or row[:_KEY] != key or row[-_CHECKSUM:] != self._checksum(row[:-_CHECKSUM]):
            return None
        return np.frombuffer(row, dtype="<f4", count=self.dimensions, offset=_KEY)

    def keys(self, content: object) -> Iterator[tuple[int, bytes]]:
        """Yield place and key of each row that was not removed."""
        if isinstance(content, bytes):
            for place in range(len(content) // self.size):
                key = content[place * self.size : place * self.size + _KEY]
                if any(key):
                    yield place, key

    def rows(self, content: object) -> Iterator[tuple[int, bytes, Vector | None]]:
        """Yield place, key and vector (None if damaged) of each row."""
        return ((place, key, self.vector(content, place, key)) for place, key in self.keys(content))

    def without(self, content: object, keys: Collection[bytes]) -> bytes:
        """Overwrite the rows of keys, and damaged rows, with zeros."""
        remaining = bytearray(len(content) if isinstance(content, bytes) else 0)
        for place, key, vector in self.rows(content):
            if vector is not None and key not in keys:
                at = slice(place * self.size, (place + 1) * self.size)
                remaining[at] = content[at]  # type: ignore[index]
        return bytes(remaining)

    def _checksum(self, row: bytes) -> bytes:
        return hashlib.blake2b(row, digest_size=_CHECKSUM, key=self.identity).digest()
