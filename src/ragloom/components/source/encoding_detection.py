"""Detection of the encoding of text files, and strict decoding.

The order: byte order mark, declared encoding, strict UTF-8, CP949 (with EUC-KR) for clearly Korean text, then the most
plausible encoding that fits every byte, reported as a guess. Every attempt is strict: a byte that fits no encoding
makes the document unreadable, and is never dropped (TRAPS 35).
"""

from __future__ import annotations

import codecs
import contextlib
import re

from charset_normalizer import from_bytes

from ragloom.components.source.base import CannotRead
from ragloom.components.source.encoding_plausibility import ENCODINGS, frequent_hangul, plausibility

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENCODING_ALIASES = {  # meaning of these names in browsers (WHATWG Encoding Standard)
    **dict.fromkeys(("euc-kr", "euc_kr", "ks_c_5601-1987", "ksc5601", "windows-949", "x-windows-949"), "cp949"),
    **dict.fromkeys(("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("shift_jis", "shift-jis"), "cp932"),
}
_REFUSED_ENCODINGS = frozenset(["punycode", "idna", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"])
"""Python codecs unknown to browsers; decoding punycode takes quadratic time."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CP949_PAIR = re.compile(rb"[\xb0-\xc8][\xa1-\xfe]")
_MIN_HANGUL = 4
"""Hangul syllables needed for meaningful frequencies."""
_HIGH_BYTES = bytes(range(0x80, 0x100))
_SAMPLE = 200_000
"""Bytes used for statistics; decoding always uses all."""


def decode_text(content: bytes, declared: str | None, warnings: list[str]) -> tuple[str, str]:
    """Decode a text file.

    Args:
        declared: the encoding named by the document itself (HTML's meta charset).
        warnings: gets a sentence if the encoding is a guess.

    Returns:
        The text without a byte order mark, and the encoding used: `utf-8`, `utf-16-le`, `utf-16-be`, `cp949`,
        `latin-1`, `cp1252` or, if declared or clear, another of Python's names.

    Raises:
        CannotRead: the bytes are not text, or fit no encoding.
    """
    text, encoding = _decode_by_mark(content) or _decode_without_mark(content, declared, warnings)
    controls = len(_CONTROLS.findall(text[:_SAMPLE]))
    if controls > 0.01 * len(text[:_SAMPLE]) + 1:
        raise CannotRead("it is binary, not text")
    return text, encoding


def _decode_by_mark(content: bytes) -> tuple[str, str] | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding), encoding
            except UnicodeDecodeError as error:
                at = len(mark) + error.start
                raise CannotRead(f"it begins as {encoding.upper()}, but is invalid at byte {at:,}") from None
    return None


def _decode_without_mark(content: bytes, declared: str | None, warnings: list[str]) -> tuple[str, str]:
    if wide := _decode_utf16(content):
        return wide
    if declared and (text := _decode_declared(content, declared)):
        return text
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if _is_mostly_utf8(content, error.start):
            raise CannotRead(_damage_reason("UTF-8", content, error.start)) from None
    korean, damage = _decode_korean(content)
    if korean is not None:
        return korean, "cp949"
    if damage is not None:
        raise CannotRead(_damage_reason("CP949 (Korean)", content, damage))
    return _decode_most_plausible(content, warnings)


def _decode_utf16(content: bytes) -> tuple[str, str] | None:
    """Recognize UTF-16 without a byte order mark.

    NULs stand in every other place, often enough to be halves of letters. A few may stand in the other places: the
    low byte of `가` (U+AC00) is a NUL.
    """
    sample = content[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(content) % 2 or min(even, odd) > max(even, odd) // 8 or max(even, odd) < max(2, len(sample) // 50):
        return None
    encoding = "utf-16-be" if even > odd else "utf-16-le"
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode(encoding), encoding
    return None


def _decode_declared(content: bytes, declared: str) -> tuple[str, str] | None:
    name = _ENCODING_ALIASES.get(declared.strip().lower(), declared.strip())
    try:
        name = codecs.lookup(name).name
        if name in _REFUSED_ENCODINGS:
            return None
        text = content.decode(name)
    except (LookupError, UnicodeError, ValueError):
        return None  # a wrong declaration: detection continues, and its result is in the metadata
    if not isinstance(text, str) or name.startswith(("utf-16", "utf-32")):
        return None  # these would have a mark or NULs: a readable declaration is wrong
    if not content.isascii():  # ISO-2022-JP and the like are
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode("utf-8"), "utf-8"  # a stale declaration: others are hardly ever UTF-8 by chance
    return text, name


def _is_mostly_utf8(content: bytes, wrong_at: int) -> bool:
    """Return whether most bytes over 127 form UTF-8 characters.

    Another encoding would only garble them.
    """
    around = content[max(0, wrong_at - _SAMPLE // 2) : wrong_at + _SAMPLE // 2]
    text = around.decode("utf-8", "surrogateescape")
    wrong = len(re.findall("[\ud800-\udfff]", text))
    return len(re.findall("[^\0-\x7f]", text)) > 5 * wrong


def _decode_korean(content: bytes) -> tuple[str | None, int | None]:
    """Decode unmistakably Korean text.

    Returns:
        The text, or None; and the first wrong byte of clearly Korean but damaged text.
    """
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError as error:
        around = content[max(0, error.start - _SAMPLE // 2) : error.start + _SAMPLE // 2]
        high = _count_high_bytes(around)
        pairs = 2 * len(_CP949_PAIR.findall(around))
        return None, error.start if high >= 40 and pairs > 0.8 * high else None
    # In Chinese (GBK) read as CP949, all syllables are equally frequent.
    count, frequent = frequent_hangul(text)
    return (text if count >= _MIN_HANGUL and frequent >= 0.6 else None), None


def _decode_most_plausible(content: bytes, warnings: list[str]) -> tuple[str, str]:
    """Decode with the most plausible encoding; warn about a guess."""
    western = "cp1252" if re.search(rb"[\x80-\x9f]", content) else "latin-1"
    readings: list[tuple[float, str, str]] = []
    for encoding in (*ENCODINGS, western):
        with contextlib.suppress(UnicodeError):  # the encoding is not this one
            text = content.decode(encoding)
            if text.encode(encoding) == content:  # no program writes the alternative code of a character
                readings.append((plausibility(text, encoding), encoding, text))
    readings.sort(key=lambda reading: reading[0], reverse=True)  # stable: Korean first among equals
    best = readings[0] if readings else (0.0, "", "")
    other = readings[1][0] if len(readings) > 1 else 0.0
    high = _count_high_bytes(content)
    # With few bytes, charset-normalizer mistakes German for Central European or Mac.
    if (best[0] < 0.7 or best[0] - other < 0.1) and high >= 64 and high > 0.25 * len(content):
        guess = from_bytes(content[: _SAMPLE // 4]).best()
        with contextlib.suppress(UnicodeDecodeError):  # valid at the beginning only
            if guess is not None:
                best = best[0], guess.encoding, content.decode(guess.encoding)
    score, encoding, text = best
    if not readings:
        raise CannotRead(_unknown_encoding_reason(content, western))
    if score < 0.8 or score - other < 0.4 or encoding not in ("latin-1", "cp1252"):
        also = ", ".join(name for _, name, _ in readings if name != encoding)
        fits = f"{also} would fit as well" if also else "nothing in it proves it"
        warnings.append(f"its encoding is a guess: {encoding} ({fits}); save it as UTF-8 if its text is wrong")
    return text, encoding


def _unknown_encoding_reason(content: bytes, western: str) -> str:
    try:
        content.decode(western)
    except UnicodeDecodeError as error:
        byte = f"byte 0x{content[error.start]:02x} at {error.start:,}"
        return f"its encoding is unknown: {byte} fits none of the encodings tried; save it as UTF-8"
    return "its encoding is unknown; save it as UTF-8"


def _count_high_bytes(content: bytes) -> int:
    return len(content) - len(content.translate(None, _HIGH_BYTES))


def _damage_reason(encoding: str, content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"it is {encoding} except for byte 0x{content[at]:02x} in line {line:,}; save it as UTF-8"
