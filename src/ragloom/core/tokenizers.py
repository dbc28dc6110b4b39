"""Tokenizers by name or file: token counts and offsets.

Tokens of one tokenizer are not those of another [38], so every limit says whose tokens it counts. Special tokens
that stand in a text are ordinary text.
"""

from __future__ import annotations

import importlib.util
import os
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragloom.core.tokenizer_names import TIKTOKEN_NAMES, UTF8_MAX
from ragloom.errors import ConfigError, nearest, require

PIECE = 1 << 16
"""Characters that are encoded at once. tiktoken 0.14's o200k_base overflows its stack between 300,000 and 1,000,000
blanks and raises a `BaseException` [38]; token arrays of a piece also stay in the processor's cache."""

Offsets = npt.NDArray[np.int64]

SAFE_CUT = re.compile(r"(?<=\S)(?= \S)|(?<=\n)(?=[^\s/])")
"""Where cutting changes no token of cl100k_base and o200k_base: their patterns begin a new piece at a single blank
between two characters that are not blank, and after a line end unless "/" follows, whatever stands further away."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def pieces(text: str) -> Iterator[str]:
    """Split a text into pieces without changing any token.

    Only a run of `PIECE / 2` characters without a blank, or of blanks alone, is cut anywhere: there tokens next to
    the cut may differ from those of the whole text.
    """
    at = 0
    while len(text) - at > PIECE:
        safe = SAFE_CUT.search(text, at + PIECE // 2, at + PIECE)
        cut = safe.start() if safe else at + PIECE
        yield text[at:cut]
        at = cut
    yield text[at:] if at else text


class Tokenizer(ABC):
    """Counts and locates the tokens of a text.

    Attributes:
        name: what `load` was given.
        local: at a `SAFE_CUT` a token always ends, and tokens on one side do not depend on the other.
    """

    name: str
    local: bool = False

    @property
    @abstractmethod
    def max_char_tokens(self) -> int:
        """Tokens of the most expensive character: no smaller limit fits all texts."""

    @abstractmethod
    def count(self, text: str) -> int:
        """Count the tokens of a text that stands alone."""

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text on its own."""
        return [self.count(text) for text in texts]

    @abstractmethod
    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        """Locates the boundaries between tokens in characters, piece by piece.

        A boundary may fall inside a character (28 % of cl100k_base's do in Korean).

        Args:
            fitting: a text of one piece and at most so many tokens yields nothing, which is faster.

        Yields:
            two arrays [tokens of the piece + 1], both never decreasing over the whole text: the characters that are
            complete before each boundary, and those that are begun before it. A piece's first boundary is the last
            one of the piece before.
        """


class _Tiktoken(Tokenizer):
    local = True

    def __init__(self, name: str) -> None:
        import tiktoken

        _use_shipped_tables()
        self.name = name
        self._encoding = tiktoken.get_encoding(name)

    @property
    def max_char_tokens(self) -> int:
        return UTF8_MAX

    def count(self, text: str) -> int:
        encode = self._encoding.encode_ordinary
        if len(text) <= PIECE:
            return len(encode(text))
        return sum(len(encode(piece)) for piece in pieces(text))

    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        before = 0
        for piece in pieces(text):
            tokens = self._tokens(piece)
            if not piece or (len(tokens) <= fitting and len(piece) == len(text)):
                return
            ends = np.zeros(len(tokens) + 1, dtype=np.int64)
            self._token_bytes[tokens].cumsum(out=ends[1:])
            if piece.isascii():
                complete = begun = ends + before if before else ends
            else:
                complete, begun = _characters_before(_whole(piece).encode(), ends, before)
            yield complete, begun
            before += len(piece)

    def _tokens(self, piece: str) -> npt.NDArray[np.uint32]:
        try:
            return self._encoding.encode_to_numpy(piece, disallowed_special=())
        except UnicodeEncodeError:
            return self._encoding.encode_to_numpy(_whole(piece), disallowed_special=())

    @cached_property
    def _token_bytes(self) -> Offsets:
        """Bytes of each token, [vocabulary]."""
        sizes = np.zeros(self._encoding.n_vocab, dtype=np.int64)
        for token in range(self._encoding.n_vocab):
            try:
                sizes[token] = len(self._encoding.decode_single_token_bytes(token))
            except KeyError:  # a number that the vocabulary leaves out
                continue
        return sizes


class _HuggingFace(Tokenizer):
    def __init__(self, name: str, file: Path) -> None:
        tokenizers = require("tokenizers", extra="fastembed", option=f"tokenizer={name}")
        self.name = name
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # noqa: BLE001 - the package raises bare Exception
            raise ConfigError(f"tokenizer={name!r} must be a readable tokenizer.json; {file}: {error}") from None
        # The file's own limits would cut or lengthen a text silently, and it would read "[SEP]" in a text as a mark.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    @cached_property
    def max_char_tokens(self) -> int:
        """Tokens of the most expensive character, measured over all assigned ones."""
        characters = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) not in {"Cn", "Co", "Cs"}]
        return max(1, *(len(tokens) for tokens in self._encode(characters)))

    def count(self, text: str) -> int:
        return sum(len(tokens) for tokens in self._encode([_whole(piece) for piece in pieces(text)]))

    def counts(self, texts: Sequence[str]) -> list[int]:
        if any(len(text) > PIECE for text in texts):
            return super().counts(texts)
        return [len(tokens) for tokens in self._encode([_whole(text) for text in texts])]

    def edges(self, text: str, fitting: int = 0) -> Iterator[tuple[Offsets, Offsets]]:
        before = 0
        for piece in pieces(text):
            (tokens,) = self._encode([_whole(piece)])
            if not piece or (len(tokens) <= fitting and len(piece) == len(text)):
                return
            spans = np.array(tokens.offsets, dtype=np.int64).reshape(-1, 2)
            edge = np.array([len(piece)])
            begun = np.concatenate(([0], np.maximum.accumulate(spans[:-1, 1]), edge)) + before
            complete = np.minimum(begun, np.concatenate(([0], spans[1:, 0], edge)) + before)
            yield np.minimum.accumulate(complete[::-1])[::-1], begun
            before += len(piece)

    def _encode(self, texts: list[str]) -> list[Any]:
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))


@lru_cache(maxsize=16)
def load(name: str) -> Tokenizer:
    """Load a tokenizer, once per process.

    Args:
        name: `cl100k_base`, `o200k_base` (tiktoken; no download), or the path of a Hugging Face `tokenizer.json` or
            of a folder with one.

    Raises:
        ConfigError: there is no such tokenizer, or its extra is not installed.
    """
    if name in TIKTOKEN_NAMES:
        return _Tiktoken(name)
    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(
            f"tokenizer={name!r} must be {' or '.join(TIKTOKEN_NAMES)}, or the path of a tokenizer.json or of a "
            f"folder with one{nearest(name, TIKTOKEN_NAMES)}"
        )
    return _HuggingFace(name, file)


def _characters_before(utf8: bytes, ends: Offsets, before: int) -> tuple[Offsets, Offsets]:
    """Count complete and begun characters before each of some bytes."""
    # A byte that continues a character is, as a signed number, less than -64.
    begins = np.frombuffer(utf8, dtype=np.int8) >= -64
    begun = np.empty_like(ends)
    begun[0] = 0
    begun[1:] = begins.cumsum()[ends[1:] - 1]
    if before:
        begun += before
    complete = begun.copy()
    complete[1:-1] -= ~begins[ends[1:-1]]
    return complete, begun


def _whole(text: str) -> str:
    """Replace halves of characters, which have no UTF-8, so that offsets stay."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def _use_shipped_tables() -> None:
    """Point tiktoken at the tables of llama-index-core [37].

    A cache that the user has set takes precedence.
    """
    if "TIKTOKEN_CACHE_DIR" in os.environ or "DATA_GYM_CACHE_DIR" in os.environ:
        return
    package = importlib.util.find_spec("llama_index.core")
    if package is not None and package.origin is not None:
        os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(package.origin).parent / "_static" / "tiktoken_cache")
