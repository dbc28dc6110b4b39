"""DOCX to the markdown-like text that is stored: headings, lists, tables, notes, in order. Knows no other format.

Read from the XML itself (ECMA-376, Part 1: WordprocessingML): the text as Word shows it with all changes accepted.
Headers, footers, comments and pictures are left out.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import Any

from lxml import etree

from ragloom.source.base import CannotRead
from ragloom.source.rendering import Renderer
from ragloom.source.word_styles import Numbering, Styles, attribute, child, is_on, local, whole

MAX_XML_BYTES = 100_000_000
"""Unpacked XML of one document; a 10 MB file can unpack to 10 GB (a zip bomb)."""
_RELATED = ("styles", "numbering", "footnotes", "endnotes")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, ValueError, struct.error)
"""What `zipfile` raises for archives that lost bytes; for some it seeks to a negative place (ValueError)."""
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What the Open Packaging Conventions (ECMA-376, Part 2) allow."""
_DOCTYPE = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
"""Declares entities, which can name other files and grow to any size; ECMA-376 forbids it."""
_DECLARES = "it is a damaged DOCX: its XML has a document type declaration, which DOCX does not have"
_SKIPPED = frozenset(
    ["del", "moveFrom", "Fallback", "pPr", "rPr", "tblPr", "tblGrid", "trPr", "tcPr", "sectPr", "instrText", "delText"]
)
_SHOWN = {"tab": " ", "ptab": " ", "noBreakHyphen": "-"}


def docx_text(content: bytes) -> str:
    """Renders a Word document as markdown.

    Raises:
        CannotRead: the file is damaged, encrypted, no Word document, or unpacks to too much.
    """
    root, related = _unpacked(content)
    body = child(root, "body")
    if local(root) != "document" or body is None:
        raise CannotRead("its name says DOCX, but it is another kind of Office file")
    notes = {kind: related[f"{kind}s"] for kind in ("footnote", "endnote")}
    return _Walk(Styles(related["styles"]), Numbering(related["numbering"]), notes).text(body)


def _unpacked(content: bytes) -> tuple[Any, dict[str, Any | None]]:
    """Parses the main part and those that it needs; None for one that is not there."""
    try:
        package = _Package(content)
        return package.main(), {kind: package.related(kind) for kind in _RELATED}
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None  # lxml 6.1 calls it an error of the document
        if "depth" in error.msg:
            raise CannotRead(
                "its XML is nested over 2,048 levels deep, more than the parser (libxml2) can read"
            ) from None
        raise CannotRead(f"it is a damaged DOCX: its XML is wrong ({error.msg})") from None
    except NotImplementedError as error:
        raise CannotRead(f"it is packed in a way that is not supported: {error}") from None
    except RuntimeError:  # what zipfile raises for an encrypted member
        raise CannotRead("it is encrypted and needs a password") from None
    except _DAMAGE as error:
        detail = error.args[0] if error.args else "it ends too early"
        raise CannotRead(f"it is a damaged DOCX: its ZIP archive is wrong ({detail})") from None


class _Package:
    """The parts of an Office file, unpacked within bounds."""

    def __init__(self, content: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(content))
        self._left = MAX_XML_BYTES
        self._main = next(iter(self._targets("", "_rels/.rels", "officeDocument")), "word/document.xml")

    def main(self) -> Any:
        """Parses the main part."""
        return self._xml(self._main)

    def related(self, kind: str) -> Any | None:
        """Parses the part of this kind that the main part names; None where there is none."""
        folder, _, name = self._main.rpartition("/")
        targets = self._targets(folder, f"{folder}/_rels/{name}.rels".lstrip("/"), kind)
        return self._xml(targets[0]) if targets and targets[0] in self._zip.namelist() else None

    def _targets(self, folder: str, part: str, kind: str) -> list[str]:
        if part not in self._zip.namelist():
            return []
        found = [r.get("Target", "") for r in self._xml(part) if r.get("Type", "").endswith(f"/{kind}")]
        return [
            target.lstrip("/") if target.startswith("/") or not folder else f"{folder}/{target}" for target in found
        ]

    def _xml(self, part: str) -> Any:
        if self._zip.getinfo(part).compress_type not in _PACKED:
            # zipfile unpacks these others without a bound, whatever `read` is told (CPython 3.11).
            raise CannotRead("it is a damaged DOCX: it is packed in a way that DOCX does not have")
        with self._zip.open(part) as packed:
            content = packed.read(self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise CannotRead(f"it unpacks to over {MAX_XML_BYTES // 1_000_000} MB of XML (a zip bomb?)")
        if _DOCTYPE.match(content):
            raise CannotRead(_DECLARES)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        root = etree.fromstring(content, parser)
        if root.getroottree().docinfo.internalDTD is not None:  # in another encoding than UTF-8
            raise CannotRead(_DECLARES)
        return root


class _Walk:
    """One pass over a document's body, and then over the notes that it refers to."""

    def __init__(self, styles: Styles, numbering: Numbering, notes: dict[str, Any | None]) -> None:
        self._styles = styles
        self._numbering = numbering
        self._notes = {
            kind: {attribute(note, "id"): note for note in root} for kind, root in notes.items() if root is not None
        }
        self._cited: dict[Any, int] = {}  # note, its number
        self._out = Renderer()
        self._levels: list[int] = []  # headings' levels of the open paragraphs: text boxes nest them
        self._lists: list[bool] = []  # whether each open list is numbered
        self._shift = 0
        self._layout: set[Any] = set()

    def text(self, body: Any) -> str:
        """Renders body and notes."""
        self._shift = int(any(self._styles.is_title(p) and "".join(p.itertext()).strip() for p in body.iter("{*}p")))
        for inner in body.iter("{*}tbl"):
            for outer in inner.iterancestors("{*}tbl"):
                if outer in self._layout:
                    break
                self._layout.add(outer)
        self._walk(body)
        shown = 0
        while shown < len(self._cited):  # a note may cite others; each is shown once, also one that cites itself
            for note, number in list(self._cited.items())[shown:]:
                self._close_lists(0)
                self._out.end_block()
                self._out.add(f"[^{number}]: ")
                self._walk(note)
                shown = number
        return self._out.text()

    def _walk(self, root: Any) -> None:
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            name = local(element)
            if event == "end":
                if name not in _SKIPPED:
                    self._end(name, element)
            elif name in _SKIPPED or _unseen(name, element):
                walk.skip_subtree()
            else:
                self._start(name, element)

    def _start(self, name: str, element: Any) -> None:
        out = self._out
        if name == "t":
            out.add(element.text or "")
        elif name in _SHOWN:
            out.add(_SHOWN[name])
        elif name in ("br", "cr"):
            out.line_break()
        elif name == "p":
            self._start_paragraph(element)
        elif name in ("footnoteReference", "endnoteReference"):
            note = self._notes.get(name.removesuffix("Reference"), {}).get(attribute(element, "id"))
            if note is not None:
                out.add(f"[^{self._cited.setdefault(note, len(self._cited) + 1)}]")
        elif name == "tbl":
            self._close_lists(0)
            out.end_block()
            if element not in self._layout:
                out.start_table()
        elif name == "tr":
            out.start_row()
        elif name == "tc":
            properties = child(element, "tcPr")
            merged = child(properties, "vMerge")
            continued = merged is not None and attribute(merged, "val") != "restart"
            out.start_cell(whole(child(properties, "gridSpan"), 1), continued=continued)

    def _end(self, name: str, element: Any) -> None:
        out = self._out
        if name == "p":
            out.end_block()
            self._levels.pop()
            self._set_heading(self._levels[-1] if self._levels else 0)
        elif name == "tbl":
            self._close_lists(0)
            if element not in self._layout:
                out.end_table()
        elif name == "tc":
            self._close_lists(0)
            out.end_cell()

    def _start_paragraph(self, paragraph: Any) -> None:
        # A note's own number is already there; a text box ends what its paragraph said so far.
        if self._levels:
            self._out.end_block()
        level = 1 if self._styles.is_title(paragraph) else self._styles.heading(paragraph)
        if level and not self._styles.is_title(paragraph):
            level += self._shift
        item = None if level else self._numbering.item(*self._styles.list_place(paragraph))
        if item is None:
            self._close_lists(0)
        else:
            depth, number = item
            self._close_lists(depth + 1)
            if len(self._lists) == depth + 1 and self._lists[-1] != (number is not None):
                self._close_lists(depth)
            while len(self._lists) < depth + 1:
                self._lists.append(number is not None)
                self._out.start_list(1 if number is not None else None)
            self._out.start_item(number)
        self._levels.append(min(level, 6))
        self._set_heading(self._levels[-1])

    def _set_heading(self, level: int) -> None:
        if level:
            self._out.start_heading(level)
        else:
            self._out.stop_heading()

    def _close_lists(self, depth: int) -> None:
        while len(self._lists) > depth:
            self._lists.pop()
            self._out.end_list()


def _unseen(name: str, element: Any) -> bool:
    """Says whether a run is hidden text, or a table row is deleted."""
    if name == "r":
        return is_on(child(child(element, "rPr"), "vanish"))
    return name == "tr" and child(child(element, "trPr"), "del") is not None
