"""Text that a PDF page shows in annotations: values of form fields, and free text. PDFium's text has neither."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pypdfium2
import pypdfium2.raw as pdfium

from ragloom.source.glyphs import Glyphs

TICKED, UNTICKED = "☒", "☐"

_HIDDEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13  # PDF 32000-1, table 228
_MOST_OPTIONS = 10_000


class Note(NamedTuple):
    """Text of an annotation, and its rectangle in page units."""

    text: str
    left: float
    bottom: float
    right: float
    top: float


def add_annotations(glyphs: Glyphs, document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage) -> None:
    """Puts the visible texts of a page's annotations at their places among its glyphs."""
    notes = []
    for at in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, at)
        if not annotation:
            continue
        try:
            notes += _notes(annotation, document.formenv)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)
    if notes:
        _place(glyphs, notes)


def _notes(annotation: Any, form: Any) -> list[Note]:
    kind = pdfium.FPDFAnnot_GetSubtype(annotation)
    if kind not in _READERS or pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN:
        return []
    text = _READERS[kind](annotation, form).replace("\r\n", "\n").replace("\r", "\n").strip()
    rect = pdfium.FS_RECTF()
    if not text or not pdfium.FPDFAnnot_GetRect(annotation, rect):
        return []
    left, right = sorted((rect.left, rect.right))
    bottom, top = sorted((rect.bottom, rect.top))
    return [Note(text, left, bottom, right, top)]


def _free_text(annotation: Any, form: Any) -> str:
    return _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")


def _value(annotation: Any, form: Any) -> str:
    """Reads what a viewer shows for the value of a field."""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation) if form else -1
    if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
        return TICKED if pdfium.FPDFAnnot_IsChecked(form, annotation) else UNTICKED
    if kind in (pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX):
        count = min(pdfium.FPDFAnnot_GetOptionCount(form, annotation), _MOST_OPTIONS)
        chosen = [at for at in range(count) if pdfium.FPDFAnnot_IsOptionSelected(form, annotation, at)]
        if chosen:
            return ", ".join(_string(pdfium.FPDFAnnot_GetOptionLabel, form, annotation, at) for at in chosen)
        return _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD:
        if pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
            return ""
        return _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    if kind > 0:  # buttons and signatures have no value of text
        return ""
    return _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"V")


_READERS: dict[int, Callable[[Any, Any], str]] = {
    pdfium.FPDF_ANNOT_WIDGET: _value,
    pdfium.FPDF_ANNOT_FREETEXT: _free_text,
}


def _string(function: Callable[..., int], *arguments: Any) -> str:
    """Calls a function of PDFium that fills a buffer with UTF-16, and ends it with a zero."""
    size = function(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (size // 2))()
    function(*arguments, buffer, size)
    return ctypes.string_at(buffer, size - 2).decode("utf-16-le", "replace")


def _place(glyphs: Glyphs, notes: list[Note]) -> None:
    """Puts each note after the glyph on its left, before the one on its right, or at the end of the page."""
    at = glyphs.visible
    left, top, right, bottom = glyphs.boxes[at].T
    middle = (top + bottom) / 2
    for note in sorted(notes, key=lambda note: (-note.top, note.left)):
        on_line = (middle > note.bottom - 1) & (middle < note.top + 1)
        centre = (note.left + note.right) / 2
        before, after = on_line & (right < centre), on_line & (left > centre)
        if (on_line & (left >= note.left) & (right <= note.right)).any():  # a note over text: none of its line
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
