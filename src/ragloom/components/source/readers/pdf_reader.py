"""Reader of PDF files: text by page, with PDFium."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import pdf_fallback_font
from ragloom.components.source.readers.pdf_annotations import TICKED, UNTICKED, add_annotations
from ragloom.components.source.readers.pdf_glyphs import HYPHEN, Glyphs, fix_spacing
from ragloom.components.source.readers.reader_interface import content_type
from ragloom.core.records import PAGE_BREAK
from ragloom.core.text_normalization import normalize_text

pdf_fallback_font.install()
logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # it warns of XFA forms; `_PdfPages` does

_ONE_AT_A_TIME = threading.Lock()
"""PDFium may not be used by two threads at once, not even on two documents (pypdfium2's README)."""
_BOXES = f"{UNTICKED}{TICKED} \t\n"
_MOST_NAMED = 10
"""Pages that a warning names."""
_CUT = re.compile(rf"{HYPHEN}\s*([^\W_]*)")


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Extract the visible text of all pages, in file order, separated by `\\f`.

    Args:
        warnings: gets a sentence for each kind of page with missing or doubtful text.

    Raises:
        CannotRead: the file is encrypted, damaged, no PDF, or has no text layer.
    """
    if b"%PDF-" not in content[:1024]:  # viewers accept that many bytes before the header
        type = content_type(content)
        raise CannotRead(f"its name says PDF, but it is {type}" if type else "it is no PDF, or its beginning is lost")
    with _ONE_AT_A_TIME:
        pages = _pages(content, warnings)
    if not any(page.strip(_BOXES) for page in pages):
        count = f"{len(pages)} pages have" if len(pages) > 1 else "only page has"
        if warnings:
            raise CannotRead(f"it has no text that can be read: its {count} none, and {warnings[0]}")
        raise CannotRead(f"it has no text layer: its {count} no text, as in a scan; recognise its text first (OCR)")
    return PAGE_BREAK.join(rejoin_words(pages))


def _pages(content: bytes, warnings: list[str]) -> list[str]:
    # pypdfium2 5.15 takes the last error of PDFium for that of a document without pages, which sets none: without this
    # it would be "encrypted" where an older document was. (Loading nothing sets "damaged".)
    pdfium.FPDF_LoadMemDocument64(b"", 0, None)
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise CannotRead("it is encrypted and needs a password") from None
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise CannotRead("it is encrypted in a way that PDFium does not know") from None
        raise CannotRead("it is a damaged PDF: PDFium cannot open it") from None
    try:
        return _PdfPages(document).pages(warnings)
    finally:
        document.close()


class _PdfPages:
    """Reads the pages of one document, and notes those whose text is missing or doubtful."""

    def __init__(self, document: pypdfium2.PdfDocument) -> None:
        self._document = document
        self._bad: list[int] = []
        self._unmapped: list[int] = []

    def pages(self, warnings: list[str]) -> list[str]:
        count = len(self._document)
        try:
            self._document.init_forms()
        except pypdfium2.PdfiumError:
            warnings.append("its form is damaged: values of fields are missing")
        if self._document.get_formtype() == pdfium.FORMTYPE_XFA_FULL:
            warnings.append("it is an XFA form, whose fields PDFium does not show; print it to a PDF without a form")
        pages = [self._page(number) for number in range(count)]
        if len(self._bad) == count:
            raise CannotRead("it is a damaged PDF: none of its pages can be read" if count else "it has no page")
        for numbers, problem in (
            (self._bad, "cannot be read; the file is damaged there"),
            (
                self._unmapped,
                "mostly glyphs that the file maps to no characters, so that the text may be wrong; recognise it (OCR)",
            ),
        ):
            if numbers:
                warnings.append(f"{_page_list(numbers)} of {count}: {problem}")
        return pages

    def _page(self, number: int) -> str:
        try:
            page = self._document[number]
        except pypdfium2.PdfiumError:
            self._bad.append(number + 1)
            return ""
        try:
            glyphs = Glyphs(page.get_textpage())
            glyphs.drop_outside(page.get_bbox())
            glyphs.order_right_to_left()
            fix_spacing(glyphs)
            if glyphs.unmapped() > 0.5:
                self._unmapped.append(number + 1)
            add_annotations(glyphs, self._document, page, number)
            text = glyphs.text()
        except pypdfium2.PdfiumError:
            self._bad.append(number + 1)
            return ""
        finally:
            page.close()
        return "\n".join(line.rstrip(" \t") for line in normalize_text(text).split("\n")).strip("\n")


def _page_list(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"page{'s' if len(numbers) > 1 else ''} {shown}{more}"


def rejoin_words(pages: list[str]) -> list[str]:
    """Put words that a line end has cut together again, with the hyphen where the word has one of its own.

    Which it is, `Ef-fects` or `hormone-blocking`, is read from the document itself: how the word is written elsewhere,
    and whether both halves are words of it.
    """
    if not any(HYPHEN in page for page in pages):
        return pages
    whole_words = (
        re.findall(r"[^\W_]+(?:-[^\W_]+)*", _replace_cuts(page, lambda *halves: " ").lower()) for page in pages
    )
    words = {word for found in whole_words for word in (*found, *(part for item in found for part in item.split("-")))}

    def join(left: str, right: str) -> str:
        whole, hyphenated = (left + right).lower(), f"{left}-{right}".lower()
        if left and right and whole in words:
            return left + right
        compound = len(left) > 2 and len(right) > 2 and left.lower() in words and right.lower() in words
        if hyphenated in words or compound or not (left.isalpha() and right[:1].islower()):
            return f"{left}-{right}"
        return left + right

    return [_replace_cuts(page, join) for page in pages]


def _replace_cuts(page: str, join: Callable[[str, str], str]) -> str:
    """Replace each cut word by what is made of its halves.

    The left half is walked back to from the cut: a pattern that begins with a word is tried at each of its letters,
    which takes the square of a word's length.
    """
    parts, end = [], 0
    for cut in _CUT.finditer(page):
        begin = cut.start()
        while begin > end and page[begin - 1].isalnum():
            begin -= 1
        parts += [page[end:begin], join(page[begin : cut.start()], cut.group(1))]
        end = cut.end()
    return "".join((*parts, page[end:]))
