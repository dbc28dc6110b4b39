"""Documents embedded in a Word document (`w:altChunk`), and its drawings."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import html_reader, text_reader
from ragloom.components.source.readers.docx_package import Package, UnpackBudget, explain_damage
from ragloom.components.source.readers.reader_interface import run_reader

_MAX_DEPTH = 3
"""Levels of embedded documents that are read."""


class EmbeddedDocuments:
    """The embedded documents of a document.

    Args:
        warnings: gets a sentence for each document missing in the text.
        render_docx: renders a DOCX within the budget of this one, and takes the same warnings.
    """

    def __init__(
        self, package: Package, warnings: list[str], render_docx: Callable[[bytes, list[str], UnpackBudget], str]
    ) -> None:
        self._package = package
        self._warnings = warnings
        self._render_docx = render_docx

    def text(self, id: str | None) -> str:
        """Read an embedded document by its relationship; empty if unreadable."""
        relation = self._package.relations.get(id or "")
        if relation is None or relation.external:
            self.warn_missing(id)
            return ""
        try:
            with explain_damage():
                content = self._package.read(relation.target)
            return self._read(relation.target, content)
        except CannotRead as error:
            reason = error.reason
        except RecursionError:
            reason = "it is nested too deeply"
        self._warnings.append(f"its embedded part {relation.target} is missing in the text: {reason}")
        return ""

    def drawing(self, id: str | None, render: Callable[[Any], str]) -> str:
        """Render a chart or diagram; empty if its part is missing."""
        relation = self._package.relations.get(id or "")
        if relation is None or relation.external or relation.target not in self._package.names:
            return ""
        try:
            with explain_damage():
                return render(self._package.xml(relation.target))
        except CannotRead as error:
            self._warnings.append(f"its drawing {relation.target} is missing in the text: {error.reason}")
            return ""

    def warn_missing(self, id: str | None) -> None:
        """Warn about a document outside this file."""
        relation = self._package.relations.get(id or "")
        place = relation.target if relation is not None else f"{id} (no such part)"
        self._warnings.append(f"its text at {place} is missing: it is not in this file")

    def _read(self, name: str, content: bytes) -> str:
        if content.startswith(b"PK\x03\x04"):
            budget = self._package.budget
            if budget.depth >= _MAX_DEPTH:
                raise CannotRead(f"documents are embedded in each other more than {_MAX_DEPTH} levels deep")
            budget.depth += 1
            text = self._render_docx(content, self._warnings, budget)
            budget.depth -= 1
            return text
        plain = name.lower().endswith(".txt")
        if b"mime-version:" in content[:2000].lower():
            content = _mhtml_page(content)
        elif not plain and b"<" not in content[:1000]:
            kind = "an RTF document" if content.startswith(b"{\\rtf") else "of an unknown type"
            raise CannotRead(f"it is {kind}: not supported")
        file = run_reader(text_reader.read if plain else html_reader.read, "text" if plain else "html", content)
        self._warnings += file.warnings
        return file.text


def _mhtml_page(content: bytes) -> bytes:
    """Extract the page of a web archive (MHTML)."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    for part in message.walk():
        if isinstance(part, EmailMessage) and part.get_content_type() in ("text/html", "application/xhtml+xml"):
            page = part.get_payload(decode=True)
            charset = part.get_content_charset()
            if isinstance(page, bytes):
                return f'<meta charset="{charset}">'.encode() + page if charset and charset.isascii() else page
    raise CannotRead("it is a web archive without a page")
