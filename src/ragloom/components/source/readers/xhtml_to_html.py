"""XHTML as HTML: what an XML parser reads differently is rewritten, so that an HTML parser loses nothing."""

from __future__ import annotations

import html
import re

_NAMESPACE = re.compile(r"""<html\b[^>]{0,2000}xmlns\s*=\s*["']http://www\.w3\.org/1999/xhtml["']""", re.IGNORECASE)
_EMPTY = re.compile(r"""<([a-zA-Z][\w:.-]*+)((?:\s++[\w:.-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'))*+)\s*+/>""")
_VOID = frozenset([
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
])  # fmt: skip
_CDATA, _CDATA_END = "<![CDATA[", "]]>"


def xhtml_to_html(page: str) -> str:
    """Rewrite empty elements (`<script/>`) and CDATA sections of an XHTML page; gives any other page unchanged."""
    if not _NAMESPACE.search(page[:4096]):
        return page
    parts = page.split(_CDATA)
    text = [_expand_empty(parts[0])]
    for part in parts[1:]:
        shown, end, after = part.partition(_CDATA_END)
        text.append(html.escape(shown, quote=False) + _expand_empty(after) if end else _CDATA + part)
    return "".join(text)


def _expand_empty(markup: str) -> str:
    return _EMPTY.sub(
        lambda found: found[0] if found[1].lower() in _VOID else f"<{found[1]}{found[2]}></{found[1]}>", markup
    )
