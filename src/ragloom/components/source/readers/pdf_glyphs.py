"""Glyphs of a PDF page, their boxes, and their text.

PDFium's text of a page area drops generated line breaks and fuses neighbouring cells (TRAPS 47). Here the breaks are
kept, and the boxes show missing or wrong ones.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pypdfium2.raw as pdfium

Array = np.ndarray[Any, Any]

HYPHEN = "\x02"
"""Mark for a hyphen at the end of a line; PDFium drops the line break."""
MAP_CHECKS = 50
"""Glyphs per page checked for a Unicode mapping; each check is a call."""

_HALF = re.compile("[\ud800-\udfff]")
_WORD_GAP = 0.5
"""Gap between glyphs of different words, in heights of the smaller one."""
_TOUCHING = 0.12
"""Gap between glyphs without a blank, in heights of the smaller one."""
_OVERLAP = 0.35
"""Overlap of consecutive glyphs (kerning, fraction bars), in the same unit."""
_LETTERS_AND_MORE = [chr(code) for block in ((0xFB1D, 0xFE00), (0xFE70, 0xFEFD)) for code in range(*block)]
_IN_ORDER = frozenset(
    word for word in (unicodedata.normalize("NFKC", c).strip() for c in _LETTERS_AND_MORE) if word[1:]
)
"""Letters of right-to-left ligatures, in logical order."""


def _function(function: Any, *types: Any) -> Any:
    """Bind a PDFium function to addresses, much faster than pointers."""
    return ctypes.CFUNCTYPE(*types)(ctypes.cast(function, ctypes.c_void_p).value or 0)


_CODE = _function(pdfium.FPDFText_GetUnicode, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)
_BOX = _function(pdfium.FPDFText_GetLooseCharBox, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Glyphs:
    """Characters of a page in PDFium's order, generated ones included.

    Attributes:
        codes: code points, [n] uint32; 0 = left out.
        boxes: left, top, right, bottom in page units, [n, 4] float32.
        before: texts inserted before a glyph, by its index; n = the end.
    """

    def __init__(self, textpage: Any) -> None:
        self._page = textpage  # keeps it open
        address = ctypes.cast(textpage.raw, ctypes.c_void_p).value
        n = textpage.count_chars()
        self.codes = _codes(textpage, address, n)
        self.boxes = np.zeros((n, 4), np.float32)
        start = self.boxes.ctypes.data
        for _ in map(_BOX, repeat(address), range(n), range(start, start + 16 * n, 16)):
            pass
        self.before: dict[int, list[str]] = defaultdict(list)
        self._drop_controls()

    def _drop_controls(self) -> None:
        """Replace control characters by blanks; keep hyphens at line ends.

        They are glyphs without a mapping.
        """
        codes = self.codes
        controls = (codes < 32) | (codes >= 127) & (codes < 160) | (codes > 0x10FFFF)
        controls &= (codes != 9) & (codes != 10) & (codes != 13)
        for at in np.flatnonzero(controls & (codes == ord(HYPHEN))):
            controls[at] = pdfium.FPDFText_IsHyphen(self._page, int(at)) != 1
        codes[controls] = 32
        codes[codes == 0x200B] = 0  # a blank without width splits words and numbers
        self._controls = int(controls.sum())

    @property
    def visible(self) -> Array:
        """Indices of visible glyphs: no blanks, line ends or removed ones."""
        codes = self.codes
        return np.flatnonzero((codes > 32) & (codes != 0xA0) & (codes != 0xAD) & ((codes < 0x2000) | (codes > 0x200B)))

    def drop_outside(self, area: tuple[float, float, float, float]) -> None:
        """Remove glyphs outside the page area (left, bottom, right, top)."""
        left, bottom, right, top = area
        if right <= left or top <= bottom:  # wrong in the file: viewers use a default page size
            return
        boxes = self.boxes
        outside = (boxes[:, 2] < left) | (boxes[:, 0] > right) | (boxes[:, 1] < bottom) | (boxes[:, 3] > top)
        self.codes[outside & (self.codes > 32)] = 0  # a generated line end has an empty box

    def unmapped(self) -> float:
        """Estimate the share of glyphs without a Unicode mapping, by sample.

        PDFium returns their code in the font, often equal to the character.
        """
        visible = self.visible
        sample = visible[:: 1 + len(visible) // MAP_CHECKS]
        wrong = [at for at in sample if pdfium.FPDFText_HasUnicodeMapError(self._page, int(at)) == 1]
        share = len(wrong) / max(1, len(sample)) if not _is_words(_string(self.codes[wrong])) else 0.0
        return float((share * len(visible) + self._controls) / max(1, len(visible) + self._controls))

    def baseline(self, at: int) -> float:
        """Return the baseline of a glyph, in page units."""
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium.FPDFText_GetCharOrigin(self._page, int(at), x, y)
        return y.value

    def upright(self, at: int) -> bool:
        """Return whether a glyph stands on a horizontal line."""
        return bool(abs(pdfium.FPDFText_GetCharAngle(self._page, int(at))) < 0.01)

    def order_right_to_left(self) -> None:
        """Restore the logical order of right-to-left words, ligatures and marks.

        PDFium reverses lines including the letters of ligatures, but not some words (ActualText).
        """
        codes, boxes = self.codes, self.boxes
        rtl = (codes >= 0x590) & (codes < 0x900)
        if not rtl.any():
            return
        same = rtl[1:] & rtl[:-1] & (boxes[1:] == boxes[:-1]).all(axis=1) & (boxes[1:, 2] > boxes[1:, 0])
        for start, end in _runs(same):
            letters = "".join(map(chr, codes[start : end + 1]))
            if letters not in _IN_ORDER or letters[::-1] in _IN_ORDER:
                self._reverse(start, end + 1)
        for start, end in _runs(rtl):
            steps = np.diff(boxes[start:end, 0] + boxes[start:end, 2])
            if (steps > 0).sum() > (steps <= 0).sum():
                self._reverse(start, end)
        for at in map(int, np.flatnonzero(rtl[1:] & rtl[:-1] & ~same)):
            if unicodedata.combining(chr(codes[at])) and not unicodedata.combining(chr(codes[at + 1])):
                self._attach(at)

    def _reverse(self, start: int, end: int) -> None:
        self.codes[start:end] = self.codes[start:end][::-1].copy()
        self.boxes[start:end] = self.boxes[start:end][::-1].copy()

    def _attach(self, at: int) -> None:
        """Move a combining mark behind its letter."""
        codes, boxes = self.codes, self.boxes
        centre = (boxes[at, 0] + boxes[at, 2]) / 2
        if not boxes[at + 1, 0] < centre < boxes[at + 1, 2]:
            return
        self._reverse(at, at + 2)
        if at >= 2 and codes[at - 1] == 32 and boxes[at - 1, 0] == boxes[at - 1, 2]:  # generated for the mark
            gap = boxes[at - 2, 0] - boxes[at, 2]
            if gap < _TOUCHING * (boxes[at, 1] - boxes[at, 3]):
                codes[at - 1] = 0

    def text(self) -> str:
        """Join the glyphs and the inserted texts."""
        codes = self.codes
        parts, end = [], 0
        for at in sorted(self.before):
            parts += [_string(codes[end:at]), *self.before[at]]
            end = at
        return "".join((*parts, _string(codes[end:])))


def _codes(textpage: Any, address: int | None, n: int) -> Array:
    """Read the code points of a page.

    At once if its text has one for each glyph, otherwise one by one.
    """
    text = textpage.get_text_range() if n else ""
    if len(text) != n:  # missing glyphs, or surrogate pairs
        return np.fromiter(map(_CODE, repeat(address), range(n)), np.uint32, n)
    return np.frombuffer(text.replace("\ufffe", HYPHEN).encode("utf-32-le", "surrogatepass"), np.uint32).copy()


def _is_words(text: str) -> bool:
    """Return whether Latin text may be words, by its vowels.

    A third to a half of the letters of words are vowels.
    """
    letters = [c for c in unicodedata.normalize("NFD", text.lower()) if "a" <= c <= "z"]
    vowels = sum(letter in "aeiouy" for letter in letters)
    return 2 * len(letters) > len(text) and 0.3 <= vowels / max(1, len(letters)) <= 0.6


def _runs(flags: Array) -> list[tuple[int, int]]:
    """List the runs of set flags as (first, end) indices."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags, [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _string(codes: Array) -> str:
    text: str = codes[codes != 0].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    if _HALF.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def fix_spacing(glyphs: Glyphs) -> None:
    """Separate falsely fused glyphs; join falsely broken lines."""
    at = glyphs.visible
    if len(at) < 2:
        return
    pairs = _GlyphPairs(glyphs, at)
    for k in np.flatnonzero(pairs.fused):
        glyphs.before[int(at[k + 1])].append(" " if pairs.level[k] else "\n")
    for k in np.flatnonzero(pairs.torn):
        if not (glyphs.upright(at[k]) and glyphs.upright(at[k + 1])):
            pairs.shifted[k] = False
            continue
        between = slice(int(at[k]) + 1, int(at[k + 1]))
        blank = (glyphs.codes[between] == 32).any()
        glyphs.codes[between][np.isin(glyphs.codes[between], (10, 13))] = 0
        if not blank and pairs.level[k] and pairs.ahead[k] > _TOUCHING:
            glyphs.before[int(at[k + 1])].append(" ")
    for k in np.flatnonzero(pairs.shifted):
        if mark := pairs.mark(int(k), glyphs.baseline(at[k + 1]) - glyphs.baseline(at[k])):
            glyphs.before[int(at[k + 1])].append(mark)


class _GlyphPairs:
    """Adjacent visible glyphs and their gaps, in heights of the smaller.

    Attributes:
        level: whether the two are on one line.
        ahead: gap from the right side of the first to the left side of the second.
        fused: adjacent without a blank, despite a gap.
        torn: neighbours on one line, despite a generated line end.
        shifted: touching digits, one of them raised or lowered, as in a power.
    """

    def __init__(self, glyphs: Glyphs, at: Array) -> None:
        self._codes = glyphs.codes[at]
        left, top, right, bottom = glyphs.boxes[at].T
        self._high, self._middle, self._centre = top - bottom, (top + bottom) / 2, (left + right) / 2
        size = np.maximum(right - left, self._high)
        self._small = small = np.maximum(np.minimum(size[1:], size[:-1]), 1e-3)
        self.ahead = (left[1:] - right[:-1]) / small
        across = np.maximum(self.ahead, (left[:-1] - right[1:]) / small)
        along = np.maximum(bottom[1:] - top[:-1], bottom[:-1] - top[1:]) / small
        overlap = (np.minimum(top[1:], top[:-1]) - np.maximum(bottom[1:], bottom[:-1])) / small
        self.level = along < 0
        direct = at[1:] == at[:-1] + 1
        words, gap = _matches(self._codes, str.isalnum), np.maximum(across, along)
        self.fused = direct & (gap > _WORD_GAP) & (words[1:] | words[:-1]) & ~_is_letter_spacing(gap, direct)
        lines = np.cumsum((glyphs.codes == 10) | (glyphs.codes == 13))[at]
        near = (overlap > 0.3) & (self.ahead > -_OVERLAP) & (self.ahead < 2 * _WORD_GAP)
        larger, smaller = np.maximum(self._high[1:], self._high[:-1]), np.minimum(self._high[1:], self._high[:-1])
        offset = np.abs(self._middle[1:] - self._middle[:-1])
        near &= offset < np.where(smaller < 0.9 * larger, 0.6, 0.25) * larger
        self.torn = (lines[1:] > lines[:-1]) & (near | self._downwards())
        touching = (self.ahead < _TOUCHING) & (self.ahead > -1) & (overlap > 0)  # a mark may stand above
        self.shifted = (direct | self.torn) & touching & ~self.fused & self._powers()

    def _downwards(self) -> Array:
        """Flag vertical pairs within three or more East Asian characters."""
        step = (self._middle[:-1] - self._middle[1:]) / self._small
        sideways = np.abs(self._centre[1:] - self._centre[:-1]) / self._small
        wide = self._codes >= 0x2E80
        below = (step > _TOUCHING) & (step < 1 + _WORD_GAP) & (sideways < _WORD_GAP) & wide[1:] & wide[:-1]
        return np.asarray(below & (np.append(below[1:], False) | np.append(False, below[:-1])))

    def _powers(self) -> Array:
        """Flag pairs of a digit and a raised or lowered digit.

        The second may also be the sign of the exponent.
        """
        digits = _matches(self._codes, str.isdigit)
        larger = np.maximum(np.maximum(self._high[1:], self._high[:-1]), 1e-3)
        other = np.minimum(self._high[1:], self._high[:-1]) < 0.9 * larger
        raised = (self._middle[1:] - self._middle[:-1]) / larger
        signed = np.append(digits[2:], False) & np.isin(self._codes[1:], [ord(sign) for sign in "-−–+"]) & (raised > 0)
        return np.asarray(digits[:-1] & (digits[1:] | signed) & other & (np.abs(raised) > 0.1))

    def mark(self, k: int, raised: float) -> str:
        """Return the sign of a shift: `^`, `_`, blank or nothing."""
        if abs(raised) < 0.05 * max(self._high[k], self._high[k + 1]):
            return ""
        if self._high[k + 1] >= self._high[k]:
            return " "
        return "^" if raised > 0 else "_"


def _matches(codes: Array, kind: Callable[[str], bool]) -> Array:
    different, inverse = np.unique(codes, return_inverse=True)
    return np.asarray(np.array([kind(chr(code)) for code in different])[inverse])


def _is_letter_spacing(gap: Array, direct: Array) -> Array:
    """Flag gaps of letterspaced words: a neighbouring gap is equal."""
    like = direct[1:] & direct[:-1] & (np.abs(gap[1:] - gap[:-1]) < 0.2 * np.maximum(gap[1:], gap[:-1]))
    return np.asarray((np.append(like, False) | np.append(False, like)) & (gap < 3 * _WORD_GAP))
