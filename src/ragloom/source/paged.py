"""PDF to text, page by page, by PDFium. Knows no other format."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pypdfium2
import pypdfium2.raw as pdfium

from ragloom.normal import normalised
from ragloom.records import PAGE_BREAK
from ragloom.source.base import CannotRead

_ONE_AT_A_TIME = threading.Lock()
"""PDFium may not be used by two threads at once, not even on two documents (pypdfium2's README)."""
_HYPHEN = "\x02"
"""Stands in PDFium's bounded text for a hyphen at the end of a line, whose line break it drops (elsewhere U+FFFE)."""
_CUT = re.compile(rf"{_HYPHEN}\s*([^\W_]*)")


def pdf_text(content: bytes) -> str:
    """Extracts the visible text of all pages, in the file's own order, with `\\f` between pages.

    Raises:
        CannotRead: the file is encrypted, damaged, or has no text layer.
    """
    with _ONE_AT_A_TIME:
        pages = _pages(content)
    if not any(page.strip() for page in pages):
        count = f"{len(pages)} pages have" if len(pages) > 1 else "only page has"
        raise CannotRead(f"it has no text layer: its {count} no text, as in a scan; recognise its text first (OCR)")
    return PAGE_BREAK.join(rejoined(pages))


def _pages(content: bytes) -> list[str]:
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
        if not len(document):
            raise CannotRead("it is a damaged PDF: it has no page")
        return [_page(document, number) for number in range(len(document))]
    finally:
        document.close()


def _page(document: pypdfium2.PdfDocument, number: int) -> str:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        raise CannotRead(f"it is a damaged PDF: page {number + 1} cannot be read") from None
    try:
        text: str = page.get_textpage().get_text_bounded()
    except pypdfium2.PdfiumError:
        raise CannotRead(f"it is a damaged PDF: the text of page {number + 1} cannot be read") from None
    finally:
        page.close()
    text = normalised(text.replace("\ufffe", _HYPHEN))
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip("\n")


def rejoined(pages: list[str]) -> list[str]:
    """Puts words that a line end has cut together again, with the hyphen where the word has one of its own.

    Which it is, `Ef-fects` or `hormone-blocking`, is read from the document itself: how the word is written elsewhere,
    and whether both halves are words of it.
    """
    if not any(_HYPHEN in page for page in pages):
        return pages
    whole_words = (re.findall(r"[^\W_]+(?:-[^\W_]+)*", _joined(page, lambda *halves: " ").lower()) for page in pages)
    words = {word for found in whole_words for word in (*found, *(part for item in found for part in item.split("-")))}

    def join(left: str, right: str) -> str:
        whole, hyphenated = (left + right).lower(), f"{left}-{right}".lower()
        if left and right and whole in words:
            return left + right
        compound = len(left) > 2 and len(right) > 2 and left.lower() in words and right.lower() in words
        if hyphenated in words or compound or not (left.isalpha() and right[:1].islower()):
            return f"{left}-{right}"
        return left + right

    return [_joined(page, join) for page in pages]


def _joined(page: str, join: Callable[[str, str], str]) -> str:
    """Replaces each cut word by what is made of its halves.

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
