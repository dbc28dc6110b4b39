"""Reader of DOCX files: headings, lists, tables and notes as Markdown.

Read from the XML itself (ECMA-376 Part 1, WordprocessingML): the text as shown by Word with all changes accepted and
automatic numbers. Charts and diagrams are read; pictures, headers, footers and comments are not.
"""

from __future__ import annotations

from typing import Any

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers.docx_charts import chart_text, diagram_text
from ragloom.components.source.readers.docx_embedded_documents import EmbeddedDocuments
from ragloom.components.source.readers.docx_fields import FieldStack
from ragloom.components.source.readers.docx_math import math_text
from ragloom.components.source.readers.docx_numbering import Numbering, ParagraphLabel
from ragloom.components.source.readers.docx_package import Package, UnpackBudget, explain_damage
from ragloom.components.source.readers.docx_revisions import (
    has_visible_text,
    is_hidden,
    is_mark_removed,
    is_removed_or_unused,
    paragraph_chain,
)
from ragloom.components.source.readers.docx_styles import Style, Styles
from ragloom.components.source.readers.docx_symbol_fonts import symbol_character, symbol_text
from ragloom.components.source.readers.docx_xml import attribute, child, int_value, local_name, walk
from ragloom.components.source.readers.markdown_writer import MarkdownWriter
from ragloom.components.source.readers.reader_interface import content_type
from ragloom.core.text_normalization import normalize_text

_FORMATS = "numbers in the format {} are shown as decimal numbers"
_FIELDS = "numbers of {} fields are missing: the file does not store them"
_FONTS = "characters of the unknown font {} are replaced by U+FFFD"
_RELATED = ("styles", "numbering", "footnotes", "endnotes")
# fmt: off
_SKIPPED = frozenset([
    "del", "moveFrom", "Fallback", "pPr", "rPr", "tblPr", "tblGrid", "trPr", "tcPr", "sectPr", "sdtPr", "delText",
    "delInstrText", "ffData",
])
# fmt: on
_SHOWN = {"tab": " ", "ptab": " ", "noBreakHyphen": "-"}
_LETTER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Read a DOCX file; see `docx_text`.

    Raises:
        CannotRead: the content is no ZIP archive.
    """
    type = content_type(content)
    if type != "a ZIP archive":
        if content.startswith(b"\xd0\xcf\x11\xe0") and "EncryptedPackage".encode("utf-16-le") in content:
            raise CannotRead("it is encrypted and needs a password")
        raise CannotRead(f"its name says DOCX, but it is {type or 'not a ZIP archive'}")
    return normalize_text(docx_text(content, warnings))


def docx_text(content: bytes, warnings: list[str], budget: UnpackBudget | None = None) -> str:
    """Render a Word document as markdown.

    Args:
        warnings: gets a sentence for each kind of doubtful or missing content.
        budget: of the enclosing document.

    Raises:
        CannotRead: the file is damaged, encrypted, too large unpacked, or not a Word document.
    """
    with explain_damage():
        package = Package(content, budget or UnpackBudget())
        root, parts = package.xml(package.main), {kind: package.related_part(kind) for kind in _RELATED}
    body = child(root, "body")
    if local_name(root) != "document" or body is None:
        raise CannotRead("its name says DOCX, but it is another kind of Office file")
    document = _DocxWalk(parts, EmbeddedDocuments(package, warnings, docx_text))
    text = document.text(body)
    warnings += [sentence.format(", ".join(sorted(names))) for sentence, names in document.losses.items() if names]
    return text


class _DocxWalk:
    """One pass over the body of a document and its notes.

    Attributes:
        losses: sentence about a kind of content missing in the text -> the names of that content.
    """

    def __init__(self, parts: dict[str, Any | None], embedded: EmbeddedDocuments) -> None:
        self.losses: dict[str, set[str]] = {_FORMATS: set(), _FIELDS: set(), _FONTS: set()}
        self._styles = Styles(parts["styles"])
        self._numbering = Numbering(parts["numbering"], self._styles.by_id, self.losses[_FORMATS])
        self._fields = FieldStack(self.losses[_FIELDS])
        self._embedded = embedded
        notes = {kind: parts[f"{kind}s"] for kind in ("footnote", "endnote")}
        self._notes = {
            kind: {attribute(note, "id"): note for note in root} for kind, root in notes.items() if root is not None
        }
        self._cited: dict[Any, int] = {}  # note, its number
        self._out = MarkdownWriter()
        self._open: list[tuple[Any, int]] = []  # paragraphs and their headings' levels: text boxes nest them
        self._stories = ["body"]
        self._lists: list[bool] = []  # whether each open list is numbered
        self._joined: set[Any] = set()  # paragraphs continued in the next one
        self._continued: set[Any] = set()  # paragraphs continued from the previous one
        self._shift = 0
        self._layout: set[Any] = set()
        self._formula = False  # whether the last text was a formula
        self._ahead = ""  # label of the next paragraph

    def text(self, body: Any) -> str:
        """Render body and notes."""
        titles = (p for p in body.iter("{*}p") if self._styles.of(p).title)
        self._shift = int(any("".join(p.itertext()).strip() for p in titles))
        for inner in body.iter("{*}tbl"):
            for outer in inner.iterancestors("{*}tbl"):
                if outer in self._layout:
                    break
                self._layout.add(outer)
        self._walk(body)
        written = 0
        while written < len(self._cited):  # a note may cite others; each is shown once, also one that cites itself
            for note, number in list(self._cited.items())[written:]:
                self._close_lists(0)
                self._out.end_block()
                self._ahead = f"[^{number}]: "
                self._stories = [local_name(note)]
                self._walk(note)
                written = number
        return self._out.text()

    def _walk(self, root: Any) -> None:
        self._fields.prepare(root)
        for starts, name, element in walk(root, self._skips):
            (self._start if starts else self._end)(name, element)

    def _skips(self, name: str, element: Any) -> bool:
        """Return whether an element is hidden, or rendered here as a whole."""
        return name in _SKIPPED or self._is_hidden(name, element) or self._render_object(name, element)

    def _is_hidden(self, name: str, element: Any) -> bool:
        if name == "r":
            return self._styles.hides(element, self._open[-1][0] if self._open else None)
        if name == "p":
            return element not in self._continued and is_hidden(element, self._styles)
        return is_removed_or_unused(name, element)

    def _render_object(self, name: str, element: Any) -> bool:
        """Render formulas, ruby and embedded objects; return whether it was one."""
        if name == "oMath":
            self._add_formula(math_text(element))
        elif name == "ruby":
            base, reading = (
                "".join(letters.text or "" for letters in element.iterfind(f"{{*}}{part}//{{*}}t"))
                for part in ("rubyBase", "rt")
            )
            self._add(f"{base}({reading})" if reading.strip() else base)
        elif name == "altChunk":
            self._close_lists(0)
            self._out.insert(self._embedded.text(attribute(element, "id")))
        elif name == "chart" and attribute(element, "id"):
            self._out.insert(self._embedded.drawing(attribute(element, "id"), chart_text))
        elif name == "relIds":
            self._out.insert(self._embedded.drawing(attribute(element, "dm"), diagram_text))
        else:
            return False
        return True

    def _start(self, name: str, element: Any) -> None:
        out = self._out
        if name == "p":
            self._start_paragraph(element)
        elif name == "tbl":
            self._close_lists(0)
            self._begin("")
            out.end_block()
            if element not in self._layout:
                out.start_table()
        elif name == "tr":
            out.start_row()
            self._blank_cells(element, "gridBefore")
        elif name == "tc":
            properties = child(element, "tcPr")
            merged = child(properties, "vMerge")
            tracked = attribute(child(properties, "cellMerge"), "vMerge") == "cont"
            continued = tracked or (merged is not None and attribute(merged, "val") != "restart")
            out.start_cell(int_value(child(properties, "gridSpan"), 1), continued=continued)
        elif name == "txbxContent":
            self._stories.append("text box")
        elif name == "oMathPara":
            out.line_break()
        else:
            self._start_inline(name, element)

    def _start_inline(self, name: str, element: Any) -> None:
        if name == "t":
            self._add(self._run_text(element))
        elif name in _SHOWN:
            self._add(_SHOWN[name])
        elif name in ("br", "cr"):
            self._out.line_break()
        elif name == "sym":
            font = attribute(element, "font")
            sign = symbol_character(font, attribute(element, "char"))
            if sign is None:
                self.losses[_FONTS].add(font or "(none)")
            self._add(sign or "\ufffd")
        elif name == "fldChar":
            value = self._fields.mark(element)
            (self._add_formula if value and self._fields.formula else self._add_visible)(value)
        elif name == "instrText":
            self._fields.add_code(element.text or "")
        elif name in ("footnoteReference", "endnoteReference"):
            note = self._notes.get(name.removesuffix("Reference"), {}).get(attribute(element, "id"))
            if note is not None:
                self._add(f"[^{self._cited.setdefault(note, len(self._cited) + 1)}]")
        elif name == "subDoc":
            self._embedded.warn_missing(attribute(element, "id"))

    def _add(self, text: str) -> None:
        """Add inline text, unless it is a field's code."""
        if not self._fields.in_code:
            self._add_visible(text)

    def _add_visible(self, text: str) -> None:
        if not text:
            return
        if self._formula and text[0] in _LETTER and self._out.last_character() in _LETTER:
            self._out.add(" ")
        self._formula = False
        self._out.add(text)

    def _add_formula(self, text: str) -> None:
        last = self._out.last_character()
        if self._formula or (last in _LETTER and text[:1].isalnum()):
            self._add(" ")
        self._add(text)
        self._formula = bool(text)

    def _run_text(self, element: Any) -> str:
        """Return the text of a run; translate letters of symbol fonts."""
        text, run = element.text or "", element.getparent()
        if local_name(run) != "r":
            return text
        return symbol_text(text, self._styles.font(run, self._open[-1][0] if self._open else None))

    def _end(self, name: str, element: Any) -> None:
        out = self._out
        if name == "p":
            self._end_paragraph(element)
        elif name == "tr":
            self._blank_cells(element, "gridAfter")
        elif name == "tbl":
            self._close_lists(0)
            if element not in self._layout:
                out.end_table()
        elif name == "tc":
            self._close_lists(0)
            out.end_cell()
        elif name == "txbxContent":
            self._stories.pop()
        elif name == "oMathPara":
            out.line_break()

    def _blank_cells(self, row: Any, where: str) -> None:
        """Add the grid columns left free before or after a row."""
        if columns := int_value(child(child(row, "trPr"), where), 0):
            self._out.start_cell(columns)
            self._out.end_cell()

    def _start_paragraph(self, paragraph: Any) -> None:
        self._formula = False
        if paragraph in self._continued:
            return
        # A text box ends the text of its paragraph so far.
        if self._open:
            self._out.end_block()
        *chain, last = paragraph_chain(paragraph)
        self._joined.update(chain)
        self._continued.update([*chain, last][1:])
        style = self._styles.of(last)
        level = 1 if style.title else self._styles.heading(last)
        if level and not style.title:
            level += self._shift
        label = self._label(last, style)
        if level or label is None:
            self._close_lists(0)
        else:
            self._start_item(label)
        self._open.append((last, min(level, 6)))
        self._out.start_heading(self._open[-1][1])
        self._begin(label.text if label is not None else "")

    def _begin(self, label: str) -> None:
        """Add the label of a note, then that of the paragraph."""
        self._out.add(self._ahead + label)
        self._ahead = ""

    def _label(self, paragraph: Any, style: Style) -> ParagraphLabel | None:
        """Return a paragraph with its number; deleted ones do not count."""
        if is_mark_removed(paragraph) and not has_visible_text(paragraph, self._styles):
            return None
        id, depth = self._styles.list_reference(paragraph)
        return self._numbering.label(id, depth, style, self._stories[-1])

    def _start_item(self, label: ParagraphLabel) -> None:
        self._close_lists(label.depth + 1)
        if len(self._lists) == label.depth + 1 and self._lists[-1] != label.numbered:
            self._close_lists(label.depth)
        while len(self._lists) < label.depth + 1:
            self._lists.append(label.numbered)
            self._out.start_list()
        self._out.start_item("" if label.text else "- ")

    def _end_paragraph(self, paragraph: Any) -> None:
        if paragraph in self._joined:
            return
        self._out.end_block()
        self._open.pop()
        self._out.start_heading(self._open[-1][1] if self._open else 0)

    def _close_lists(self, depth: int) -> None:
        while len(self._lists) > depth:
            self._lists.pop()
            self._out.end_list()
