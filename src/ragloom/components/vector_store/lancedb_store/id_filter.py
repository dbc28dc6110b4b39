"""Bloom filter of ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_BITS = 27


class Seen:
    """Set of ids in 16 MB, with rare false positives only.

    Four bits of 2**27 for each id (Bloom, 1970): at a million ids 1 in 1.3 million is a false alarm, at ten million 1
    in 230. Memory is only touched where a bit is set.
    """

    def __init__(self) -> None:
        self._bits = bytearray()

    def update(self, ids: Iterable[str]) -> None:
        """Add ids."""
        self._bits = self._bits or bytearray(1 << (_BITS - 3))
        for id in ids:
            for place in _places(id):
                self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, id: str) -> bool:
        return bool(self._bits) and all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(id))


def _places(id: str) -> list[int]:
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return [int.from_bytes(digest[at : at + 4]) >> (32 - _BITS) for at in (0, 4, 8, 12)]
