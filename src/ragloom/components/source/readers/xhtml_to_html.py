"""Conversion of XHTML syntax to HTML.

An HTML parser would read empty elements and CDATA sections differently.
"""

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
    """Rewrite empty elements and CDATA of XHTML; return other pages unchanged."""
    if not _NAMESPACE.search(page[:4096]):
        return page
    parts = page.split(_CDATA)
    text = [_expand_empty(parts[0])]
    for part in parts[1:]:
        literal, end, after = part.partition(_CDATA_END)
        text.append(html.escape(literal, quote=False) + _expand_empty(after) if end else _CDATA + part)
    return "".join(text)


def _expand_empty(markup: str) -> str:
    return _EMPTY.sub(lambda tag: tag[0] if tag[1].lower() in _VOID else f"<{tag[1]}{tag[2]}></{tag[1]}>", markup)
