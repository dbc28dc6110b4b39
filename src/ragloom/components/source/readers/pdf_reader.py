"""Reader of PDF files: text by page, with PDFium."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from contextlib import closing
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
_ERRORS = {
    pdfium.FPDF_ERR_PASSWORD: "it is encrypted and needs a password",
    pdfium.FPDF_ERR_SECURITY: "it is encrypted with a method PDFium does not support",
}
_MOST_NAMED = 10
"""Page numbers listed in a warning."""
_CUT = re.compile(rf"{HYPHEN}\s*([^\W_]*)")


def read(content: bytes, metadata: dict[str, Any], warnings: list[str]) -> str:
    """Extract the visible text of all pages, separated by `\\f`.

    Args:
        warnings: gets a sentence for each kind of page with missing or doubtful text.

    Raises:
        CannotRead: the file is encrypted, damaged, no PDF, or has no text layer.
    """
    if b"%PDF-" not in content[:1024]:  # viewers accept 1,024 bytes before the header
        type = content_type(content)
        raise CannotRead(f"its name says PDF, but it is {type or 'not a PDF'}")
    with _ONE_AT_A_TIME:
        pages = _pages(content, warnings)
    if not any(page.strip(_BOXES) for page in pages):
        count = f"{len(pages)} pages have" if len(pages) > 1 else "only page has"
        if warnings:
            raise CannotRead(f"it has no readable text: its {count} none, and {warnings[0]}")
        raise CannotRead(f"it has no text layer: its {count} no text, as in a scan; run OCR on it first")
    return PAGE_BREAK.join(rejoin_words(pages))


def _pages(content: bytes, warnings: list[str]) -> list[str]:
    # pypdfium2 5.15 reports PDFium's last error for a document without pages, which sets none: it would be "encrypted"
    # after an encrypted one. Loading nothing sets "damaged".
    pdfium.FPDF_LoadMemDocument64(b"", 0, None)
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise CannotRead(_ERRORS.get(error.err_code, "it is a damaged PDF: PDFium cannot open it")) from None
    with closing(document):
        return _PdfPages(document).pages(warnings)


class _PdfPages:
    """Page reader of one document, with lists of doubtful pages."""

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
            warnings.append("it is an XFA form, not supported by PDFium; print it to a PDF without a form")
        pages = [self._page(number) for number in range(count)]
        if len(self._bad) == count:
            raise CannotRead("it is a damaged PDF: none of its pages can be read" if count else "it has no page")
        for numbers, problem in (
            (self._bad, "cannot be read; the file is damaged there"),
            (self._unmapped, "most glyphs have no Unicode mapping, so the text may be wrong; run OCR on it"),
        ):
            if numbers:
                warnings.append(f"{_page_list(numbers)} of {count}: {problem}")
        return pages

    def _page(self, number: int) -> str:
        try:
            with closing(self._document[number]) as page:
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
        return "\n".join(line.rstrip(" \t") for line in normalize_text(text).split("\n")).strip("\n")


def _page_list(numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"page{'s' if len(numbers) > 1 else ''} {listed}{more}"


def rejoin_words(pages: list[str]) -> list[str]:
    """Rejoin words split at line ends, with or without hyphen.

    Whether it is `Ef-fects` or `hormone-blocking` depends on the document: the spelling elsewhere, and whether both
    halves are words.
    """
    if not any(HYPHEN in page for page in pages):
        return pages
    whole_words = (
        re.findall(r"[^\W_]+(?:-[^\W_]+)*", _replace_cuts(page, lambda *halves: " ").lower()) for page in pages
    )
    words = {part for page_words in whole_words for word in page_words for part in (word, *word.split("-"))}

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
    """Replace each split word by the joined halves.

    The left half is found backwards from the cut: a pattern starting with a word would take quadratic time.
    """
    parts, end = [], 0
    for cut in _CUT.finditer(page):
        begin = cut.start()
        while begin > end and page[begin - 1].isalnum():
            begin -= 1
        parts += [page[end:begin], join(page[begin : cut.start()], cut.group(1))]
        end = cut.end()
    return "".join((*parts, page[end:]))
