"""Glyphs of one PDF page, with their boxes, and the text that they make.

PDFium's own text of a page's area drops the line breaks that it generated, and fuses neighbouring cells (TRAPS 47).
Here the breaks are kept, and the boxes say where one is missing or wrong.
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
"""Stands in the text for a hyphen at the end of a line, whose line break PDFium drops."""
MAP_CHECKS = 50
"""Glyphs of a page that are checked for a mapping to Unicode: each check is a call."""

_HALF = re.compile("[\ud800-\udfff]")
_WORD_GAP = 0.5
"""Gap between two glyphs that are not of one word, in heights of the smaller one."""
_TOUCHING = 0.12
"""Gap between two glyphs without a blank between them, in heights of the smaller one."""
_OVERLAP = 0.35
"""Overlap of two glyphs that stand one after the other (kerning, the bar of a fraction), in the same unit."""
_LETTERS_AND_MORE = [chr(code) for block in ((0xFB1D, 0xFE00), (0xFE70, 0xFEFD)) for code in range(*block)]
_IN_ORDER = frozenset(
    word for word in (unicodedata.normalize("NFKC", c).strip() for c in _LETTERS_AND_MORE) if word[1:]
)
"""Letters of right-to-left ligatures, in logical order."""


def _function(function: Any, *types: Any) -> Any:
    """Bind a function of PDFium to addresses, which are several times faster to pass than pointers."""
    return ctypes.CFUNCTYPE(*types)(ctypes.cast(function, ctypes.c_void_p).value or 0)


_CODE = _function(pdfium.FPDFText_GetUnicode, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int)
_BOX = _function(pdfium.FPDFText_GetLooseCharBox, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Glyphs:
    """Characters of a text page in PDFium's order, generated blanks and line ends included.

    Attributes:
        codes: code points, [n] uint32; 0 = left out.
        boxes: left, top, right, bottom in page units, [n, 4] float32.
        before: text to be put before a glyph, by its index; n = the end.
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
        """Replace control characters, which are glyphs without a mapping, by blanks; hyphens at line ends stay."""
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
        """Indices of the glyphs that are no blanks, line ends or left out."""
        codes = self.codes
        return np.flatnonzero((codes > 32) & (codes != 0xA0) & (codes != 0xAD) & ((codes < 0x2000) | (codes > 0x200B)))

    def drop_outside(self, area: tuple[float, float, float, float]) -> None:
        """Leave out glyphs that do not touch the page's area: left, bottom, right, top."""
        left, bottom, right, top = area
        if right <= left or top <= bottom:  # wrong in the file: viewers show a page of the usual size
            return
        boxes = self.boxes
        outside = (boxes[:, 2] < left) | (boxes[:, 0] > right) | (boxes[:, 1] < bottom) | (boxes[:, 3] > top)
        self.codes[outside & (self.codes > 32)] = 0  # a generated line end has the box of nothing

    def unmapped(self) -> float:
        """Estimate the share of glyphs without a mapping to Unicode, by a sample.

        Of such a glyph PDFium gives the code in its font, which often is the character all the same.
        """
        visible = self.visible
        sample = visible[:: 1 + len(visible) // MAP_CHECKS]
        wrong = [at for at in sample if pdfium.FPDFText_HasUnicodeMapError(self._page, int(at)) == 1]
        share = len(wrong) / max(1, len(sample)) if not _is_words(_string(self.codes[wrong])) else 0.0
        return float((share * len(visible) + self._controls) / max(1, len(visible) + self._controls))

    def baseline(self, at: int) -> float:
        """Return the height of the line that a glyph stands on, in page units."""
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium.FPDFText_GetCharOrigin(self._page, int(at), x, y)
        return y.value

    def upright(self, at: int) -> bool:
        """Return whether a glyph stands on a horizontal line."""
        return bool(abs(pdfium.FPDFText_GetCharAngle(self._page, int(at))) < 0.01)

    def order_right_to_left(self) -> None:
        """Put words, ligatures and marks from right to left in logical order.

        PDFium reverses lines: the letters of a ligature with them, and some words (ActualText) not at all.
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
        """Put a mark after the letter that it stands over, when PDFium has them the other way round."""
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
        """Join the glyphs, and what is put before them."""
        codes = self.codes
        parts, end = [], 0
        for at in sorted(self.before):
            parts += [_string(codes[end:at]), *self.before[at]]
            end = at
        return "".join((*parts, _string(codes[end:])))


def _codes(textpage: Any, address: int | None, n: int) -> Array:
    """Read the code points of a page: at once where its text has one for each glyph, or one by one."""
    text = textpage.get_text_range() if n else ""
    if len(text) != n:  # it lacks glyphs, or has characters of two halves
        return np.fromiter(map(_CODE, repeat(address), range(n)), np.uint32, n)
    return np.frombuffer(text.replace("\ufffe", HYPHEN).encode("utf-32-le", "surrogatepass"), np.uint32).copy()


def _is_words(text: str) -> bool:
    """Return whether a text of Latin letters may be words: a third to a half of their letters are vowels."""
    letters = [c for c in unicodedata.normalize("NFD", text.lower()) if "a" <= c <= "z"]
    vowels = sum(letter in "aeiouy" for letter in letters)
    return 2 * len(letters) > len(text) and 0.3 <= vowels / max(1, len(letters)) <= 0.6


def _runs(flags: Array) -> list[tuple[int, int]]:
    """List where flags are set without a break: first, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags, [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _string(codes: Array) -> str:
    text: str = codes[codes != 0].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    if _HALF.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def fix_spacing(glyphs: Glyphs) -> None:
    """Set apart glyphs that only look like one word in PDFium's order, and joins those that a break parts wrongly."""
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
    """Neighbouring visible glyphs and the gaps between them, in heights of the smaller one.

    Attributes:
        level: whether the two are on one line.
        ahead: gap from the right side of the first to the left side of the second.
        fused: nothing stands between them, and they are apart.
        torn: a generated line end stands between them, and they are neighbours on one line.
        shifted: digits that touch, of which one is raised or lowered, as in a power.
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
        moved = np.abs(self._middle[1:] - self._middle[:-1])
        near &= moved < np.where(smaller < 0.9 * larger, 0.6, 0.25) * larger
        self.torn = (lines[1:] > lines[:-1]) & (near | self._downwards())
        touching = (self.ahead < _TOUCHING) & (self.ahead > -1) & (overlap > 0)  # a mark may stand above
        self.shifted = (direct | self.torn) & touching & ~self.fused & self._powers()

    def _downwards(self) -> Array:
        """Explain which pairs are of three or more Chinese, Japanese or Korean characters below each other."""
        step = (self._middle[:-1] - self._middle[1:]) / self._small
        beside = np.abs(self._centre[1:] - self._centre[:-1]) / self._small
        wide = self._codes >= 0x2E80
        below = (step > _TOUCHING) & (step < 1 + _WORD_GAP) & (beside < _WORD_GAP) & wide[1:] & wide[:-1]
        return np.asarray(below & (np.append(below[1:], False) | np.append(False, below[:-1])))

    def _powers(self) -> Array:
        """Explain which pairs are a digit and a smaller or larger one, or its sign, that is raised or lowered."""
        digits = _matches(self._codes, str.isdigit)
        larger = np.maximum(np.maximum(self._high[1:], self._high[:-1]), 1e-3)
        other = np.minimum(self._high[1:], self._high[:-1]) < 0.9 * larger
        raised = (self._middle[1:] - self._middle[:-1]) / larger
        signed = np.append(digits[2:], False) & np.isin(self._codes[1:], [ord(sign) for sign in "-−–+"]) & (raised > 0)
        return np.asarray(digits[:-1] & (digits[1:] | signed) & other & (np.abs(raised) > 0.1))

    def mark(self, k: int, raised: float) -> str:
        """Show how the second glyph of a pair is shifted; nothing where only the fonts differ."""
        if abs(raised) < 0.05 * max(self._high[k], self._high[k + 1]):
            return ""
        if self._high[k + 1] >= self._high[k]:
            return " "
        return "^" if raised > 0 else "_"


def _matches(codes: Array, kind: Callable[[str], bool]) -> Array:
    different, inverse = np.unique(codes, return_inverse=True)
    return np.asarray(np.array([kind(chr(code)) for code in different])[inverse])


def _is_letter_spacing(gap: Array, direct: Array) -> Array:
    """Explain which gaps are those of a word whose letters are set apart: a neighbouring gap is like it."""
    like = direct[1:] & direct[:-1] & (np.abs(gap[1:] - gap[:-1]) < 0.2 * np.maximum(gap[1:], gap[:-1]))
    return np.asarray((np.append(like, False) | np.append(False, like)) & (gap < 3 * _WORD_GAP))
