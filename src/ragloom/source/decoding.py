"""Bytes to text: which encoding, and the one normalisation that stored texts go through. Knows no file format.

The order is: byte order mark, strict UTF-8, the encoding that the document declares, then CP949 (with EUC-KR), then
`charset-normalizer` for what else is clear, then Latin-1. Every attempt is strict: a byte that fits no encoding makes
the document unreadable, and is never dropped (TRAPS 35).
"""

from __future__ import annotations

import codecs
import itertools
import re

from charset_normalizer import from_bytes

from ragloom.source.base import CannotRead

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = {  # what browsers take these names for (WHATWG Encoding Standard)
    "euc-kr": "cp949",
    "euc_kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "windows-949": "cp949",
    "x-windows-949": "cp949",
    "iso-8859-1": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
}
_NO_ENCODINGS = frozenset(["punycode", "idna", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"])
"""What Python calls an encoding and no browser does; decoding punycode takes the square of a text's length."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CP949_PAIR = re.compile(rb"[\xb0-\xc8][\xa1-\xfe]")
_FREQUENT = frozenset("다이의는에을하고가은로지한사기자대시스인도일를리서전아어수정부라해나보성제구상과으주동것들그")
"""The most frequent of the 11,172 Korean syllables: about half of any Korean text."""
_HIGH_BYTES = bytes(range(0x80, 0x100))
_SAMPLE = 200_000
"""Bytes that statistics look at; decoding always takes all."""


def decoded(content: bytes, declared: str | None = None) -> tuple[str, str]:
    """Decodes a text file.

    Args:
        declared: the encoding that the document itself names (HTML's meta charset).

    Returns:
        The text without a byte order mark, and the encoding used: `utf-8`, `utf-16-le`, `utf-16-be`, `cp949`,
        `latin-1`, `cp1252` or, where it is declared or clear, another of Python's names.

    Raises:
        CannotRead: the bytes are no text, or fit no encoding.
    """
    text, encoding = _marked(content) or _unmarked(content, declared)
    controls = len(_CONTROLS.findall(text[:_SAMPLE]))
    if controls > 0.01 * len(text[:_SAMPLE]) + 1:
        raise CannotRead("it is binary, not text")
    return text, encoding


def _marked(content: bytes) -> tuple[str, str] | None:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(encoding), encoding
            except UnicodeDecodeError as error:
                at = len(mark) + error.start
                raise CannotRead(f"it begins as {encoding.upper()}, but is not at byte {at:,}") from None
    return None


def _unmarked(content: bytes, declared: str | None) -> tuple[str, str]:
    if wide := _utf16(content):
        return wide
    if declared and (text := _declared(content, declared)):
        return text
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if _nearly_utf8(content, error.start):
            raise CannotRead(_damage("UTF-8", content, error.start)) from None
    korean, damage = _cp949(content)
    if korean is not None:
        return korean, "cp949"
    if damage is not None:
        raise CannotRead(_damage("CP949 (Korean)", content, damage))
    return _other(content)


def _utf16(content: bytes) -> tuple[str, str] | None:
    """Recognises UTF-16 without a mark: NULs in every other place, and enough of them to be letters' halves.

    Few may stand in the other places: the low byte of `가` (U+AC00) is a NUL.
    """
    sample = content[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if len(content) % 2 or min(even, odd) > max(even, odd) // 8 or max(even, odd) < max(2, len(sample) // 50):
        return None
    encoding = "utf-16-be" if even > odd else "utf-16-le"
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError:
        return None


def _declared(content: bytes, declared: str) -> tuple[str, str] | None:
    name = _DECLARED.get(declared.strip().lower(), declared.strip())
    try:
        name = codecs.lookup(name).name
        if name in _NO_ENCODINGS:
            return None
        text = content.decode(name)
    except (LookupError, UnicodeError, ValueError):
        return None  # a wrong declaration: detection goes on, and the encoding found is in the metadata
    if not isinstance(text, str) or name.startswith(("utf-16", "utf-32")):
        return None  # these would have a mark or NULs; a declaration that can be read cannot be true
    if not content.isascii():  # ISO-2022-JP and the like are
        try:  # a stale declaration: other encodings are hardly ever valid UTF-8 by chance
            return content.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            pass
    return text, name


def _nearly_utf8(content: bytes, wrong_at: int) -> bool:
    """Says whether most bytes over 127 form UTF-8 characters, so that another encoding would only garble them."""
    around = content[max(0, wrong_at - _SAMPLE // 2) : wrong_at + _SAMPLE // 2]
    text = around.decode("utf-8", "surrogateescape")
    wrong = len(re.findall("[\ud800-\udfff]", text))
    return len(re.findall("[^\0-\x7f]", text)) > 5 * wrong


def _cp949(content: bytes) -> tuple[str | None, int | None]:
    """Decodes Korean.

    Returns:
        The text, or None; and where it is clearly Korean but damaged the first wrong byte.
    """
    try:
        text = content.decode("cp949")
    except UnicodeDecodeError as error:
        around = content[max(0, error.start - _SAMPLE // 2) : error.start + _SAMPLE // 2]
        high = len(around) - len(around.translate(None, _HIGH_BYTES))
        pairs = 2 * len(_CP949_PAIR.findall(around))
        return None, error.start if high >= 40 and pairs > 0.8 * high else None
    foreign = [found[0] for found in itertools.islice(re.finditer("[^\0-\x7f]", text), _SAMPLE)]
    hangul = [c for c in foreign if "가" <= c <= "힣"]
    common = sum(c.encode("cp949")[1] >= 0xA1 for c in hangul)
    # Latin-1 that is valid CP949 gives Chinese characters, or the rare syllables outside KS X 1001.
    korean = len(hangul) >= 0.6 * len(foreign) and common >= 0.8 * len(hangul)
    # Korean with many Chinese characters: in Chinese (GBK) read as CP949 any syllable is as frequent as another.
    mixed = len(hangul) >= 4 and sum(c in _FREQUENT for c in hangul) >= 0.3 * len(hangul)
    return (text, None) if korean or mixed else (None, None)


def _other(content: bytes) -> tuple[str, str]:
    high = len(content) - len(content.translate(None, _HIGH_BYTES))
    western = "cp1252" if re.search(rb"[\x80-\x9f]", content) else "latin-1"
    # A guess needs material: on a few bytes charset-normalizer takes German for Central European or Mac.
    if high >= 64 and high > 0.25 * len(content):
        best = from_bytes(content[: _SAMPLE // 4]).best()
        if best is not None:
            try:
                return content.decode(best.encoding), best.encoding
            except UnicodeDecodeError:
                pass  # the guess was made on the beginning; the rest refutes it
    try:
        return content.decode(western), western
    except UnicodeDecodeError as error:
        reason = (
            f"its encoding is unknown: byte 0x{content[error.start]:02x} at {error.start:,} fits none that was tried"
        )
        raise CannotRead(f"{reason}; save it as UTF-8") from None


def _damage(encoding: str, content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"it is {encoding} but for byte 0x{content[at]:02x} in line {line:,}; save it as UTF-8"
