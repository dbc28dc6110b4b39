"""Text in PDF annotations: form values and free text.

PDFium's own text has neither.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ragloom.components.source.readers.pdf_glyphs import Glyphs
from ragloom.core.text_normalization import normalize_text

TICKED, UNTICKED = "☒", "☐"

_HIDDEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13  # PDF 32000-1, table 228
_MOST_OPTIONS = 10_000
_UNFORMATTED = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON, pdfium.FPDF_FORMFIELD_LISTBOX)
_TEXTLESS = [
    getattr(pdfium, f"FPDF_ANNOT_{kind}")  # TEXT is a note visible after opening
    for kind in ("UNKNOWN", "LINK", "POPUP", "TEXT", "HIGHLIGHT", "UNDERLINE", "STRIKEOUT", "SQUIGGLY")
]


class AnnotationText(NamedTuple):
    """Value and rectangle of an annotation, in page units.

    `formatted`: its appearance may show another text.
    """

    text: str
    formatted: bool
    left: float
    bottom: float
    right: float
    top: float


def add_annotations(glyphs: Glyphs, document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, number: int) -> None:
    """Insert the visible texts of annotations among a page's glyphs.

    The appearance of a value may be formatted, or older than the value. If it differs in more than blanks, it replaces
    the value, as in a viewer.
    """
    annotations = (_read_annotation(page, at, document.formenv) for at in range(pdfium.FPDFPage_GetAnnotCount(page)))
    notes = [note for note in annotations if note is not None]
    if any(note.formatted for note in notes):
        notes = _with_appearance(notes, document, number)
    if notes := [note for note in notes if note.text]:
        _insert(glyphs, notes)


def _read_annotation(page: pypdfium2.PdfPage, at: int, form: Any) -> AnnotationText | None:
    """Read an annotation; None without visible text."""
    annotation = pdfium.FPDFPage_GetAnnot(page, at)
    if not annotation:
        return None
    try:
        kind, rect = pdfium.FPDFAnnot_GetSubtype(annotation), pdfium.FS_RECTF()
        if kind in _TEXTLESS or pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
            return None
        text: str | None = ""
        formatted = True
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            text = _value(annotation, form)
            formatted = pdfium.FPDFAnnot_GetFormFieldType(form, annotation) not in _UNFORMATTED if form else True
        elif kind == pdfium.FPDF_ANNOT_FREETEXT:
            text = _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
        if text is None or not pdfium.FPDFAnnot_GetRect(annotation, rect):
            return None
    finally:
        pdfium.FPDFPage_CloseAnnot(annotation)
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    (left, right), (bottom, top) = sorted((rect.left, rect.right)), sorted((rect.bottom, rect.top))
    return AnnotationText(text, formatted, left, bottom, right, top)


def _value(annotation: Any, form: Any) -> str | None:
    """Read the value of a form field; None for buttons and passwords."""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation) if form else -1
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        return TICKED if pdfium.FPDFAnnot_IsChecked(form, annotation) else UNTICKED
    if kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        count = min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), _MOST_OPTIONS)
        chosen = [at for at in range(count) if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, at)]
        if chosen:
            return ", ".join(_string(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, at) for at in chosen)
    elif kind != pdfium.FPDF_FORMFIELD_TEXTFIELD:
        return None if kind > 0 else _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"V")
    elif pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return None
    return _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)


def _with_appearance(notes: list[AnnotationText], document: pypdfium2.PdfDocument, number: int) -> list[AnnotationText]:
    """Replace texts of notes by their appearances.

    The content of the page is removed, then the appearances become its content.
    """
    page = document[number]
    for at in reversed(range(pdfium.FPDFPage_CountObjects(page))):
        item = pdfium.FPDFPage_GetObject(page, at)
        if pdfium.FPDFPage_RemoveObject(page, item):
            pdfium.FPDFPageObj_Destroy(item)
    pdfium.FPDFPage_GenerateContent(page)
    pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
    page.close()
    with closing(document[number]) as page:
        textpage = page.get_textpage()
        return [note._replace(text=_appearance(note, textpage)) if note.formatted else note for note in notes]


def _appearance(note: AnnotationText, textpage: pypdfium2.PdfTextPage) -> str:
    text = textpage.get_text_bounded(note.left, note.bottom, note.right, note.top).strip()
    unchanged = "".join(text.split()) in "".join(note.text.split())
    return note.text if unchanged else normalize_text(text)


def _string(function: Callable[..., int], *arguments: Any) -> str:
    """Read a UTF-16 string from a PDFium function."""
    size = function(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (size // 2))()
    function(*arguments, buffer, size)
    return ctypes.string_at(buffer, size - 2).decode("utf-16-le", "replace")


def _insert(glyphs: Glyphs, notes: list[AnnotationText]) -> None:
    """Insert each note next to a glyph of its line, or last."""
    at = glyphs.visible
    left, top, right, bottom = glyphs.boxes[at].T
    middle = (top + bottom) / 2
    for note in sorted(notes, key=lambda note: (-note.top, note.left)):
        on_line = (middle > note.bottom - 1) & (middle < note.top + 1)
        centre = (note.left + note.right) / 2
        before, after = on_line & (right < centre), on_line & (left > centre)
        if (on_line & (left >= note.left) & (right <= note.right)).any():  # over text: on a separate line
            before = after = np.zeros_like(before)
        if before.any():
            place = int(at[np.flatnonzero(before)[np.argmax(right[before])]]) + 1
            blank = "\n" if "\n" in note.text else " "
            continues = place < len(glyphs.codes) and glyphs.codes[place] > 32
            glyphs.before[place].append(blank + note.text + (blank if continues else ""))
        elif after.any() and "\n" not in note.text:
            place = int(at[np.flatnonzero(after)[np.argmin(left[after])]])
            glyphs.before[place].append(f"{note.text} ")
        else:
            glyphs.before[len(glyphs.codes)].append(f"\n{note.text}")
