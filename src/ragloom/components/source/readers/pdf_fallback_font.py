"""Fallback font of PDFium for missing East Asian fonts.

PDFium drops text objects without width. On a machine without Chinese, Japanese or Korean fonts, these are all vertical
text in fonts not embedded, and all characters drawn individually (TRAPS 47).
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pypdfium2.raw as pdfium

_HANDLE = 0x5241474C
"""Handle of the fallback font, in place of an address of PDFium."""
_UNITS = 1000
_CALLBACKS: list[Any] = []
"""Original and replacement functions; both must live as long as PDFium."""


def install() -> None:
    """Install the fallback font for missing East Asian fonts."""
    info = pdfium.FPDF_GetDefaultSystemFontInfo()
    if not info or _CALLBACKS:
        return
    fields, font = info.contents, box_font()
    types = {name: type(getattr(fields, name)) for name in ("MapFont", "GetFontData", "GetFaceName", "DeleteFont")}
    originals = {name: types[name](ctypes.cast(getattr(fields, name), ctypes.c_void_p).value) for name in types}

    def copied(data: bytes, buffer: Any, size: int) -> int:
        if buffer and size >= len(data):
            ctypes.memmove(buffer, data, len(data))
        return len(data)

    def map_font(this: Any, weight: int, italic: int, charset: int, pitch: int, face: Any, exact: Any) -> Any:
        handle = originals["MapFont"](this, weight, italic, charset, pitch, face, exact)
        return handle or (_HANDLE if charset in _CHARSETS else None)

    def font_data(this: Any, handle: Any, table: int, buffer: Any, size: int) -> int:
        if handle != _HANDLE:
            return int(originals["GetFontData"](this, handle, table, buffer, size))
        return 0 if table else copied(font, buffer, size)

    def face_name(this: Any, handle: Any, buffer: Any, size: int) -> int:
        if handle != _HANDLE:
            return int(originals["GetFaceName"](this, handle, buffer, size))
        return copied(b"Ragloom Boxes\0", buffer, size)

    def delete_font(this: Any, handle: Any) -> None:
        if handle != _HANDLE:
            originals["DeleteFont"](this, handle)

    replacements = {"MapFont": map_font, "GetFontData": font_data, "GetFaceName": face_name, "DeleteFont": delete_font}
    for name, function in replacements.items():
        callback = types[name](function)
        _CALLBACKS.extend((originals[name], callback))
        setattr(fields, name, callback)
    pdfium.FPDF_SetSystemFontInfo(info)


_CHARSETS = [getattr(pdfium, f"FXFONT_{name}_CHARSET") for name in ("SHIFTJIS", "HANGEUL", "GB2312", "CHINESEBIG5")]


def box_font() -> bytes:
    """Build a TrueType font of one square glyph for every character."""
    side = _UNITS - 100
    glyph = struct.pack(">hhhhh", 1, 0, 0, side, side) + struct.pack(">HH", 3, 0) + bytes([1] * 4)
    glyph += struct.pack(">8h", 0, 0, side, 0, 0, side, 0, -side)
    tables = {
        b"cmap": struct.pack(">HHHHIHHIIIIII", 0, 1, 3, 10, 12, 13, 0, 28, 0, 1, 0x21, 0x10FFFF, 1),
        b"glyf": glyph,
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, _UNITS, 0, 0, 0, 0, side, side, 0, 8, 2, 1, 0
        ),
        b"hhea": struct.pack(">IhhhHhhhhhhhhhhhH", 0x10000, 880, -120, 0, _UNITS, 0, 0, side, 1, *([0] * 7), 2),
        b"hmtx": struct.pack(">HhHh", _UNITS, 0, _UNITS, 0),
        b"loca": struct.pack(">III", 0, 0, len(glyph)),
        b"maxp": struct.pack(">IH13H", 0x10000, 2, 4, 1, 0, 0, 1, *([0] * 8)),
    }
    offset = 12 + 16 * len(tables)
    entries, body = b"", b""
    for tag, data in tables.items():
        entries += tag + struct.pack(">III", 0, offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    return struct.pack(">IHHHH", 0x10000, len(tables), 64, 2, 48) + entries + body
