"""Malformed and hostile files, their expected texts or reasons, and a reader for worker processes.

They are small here: `scale` is 1 in the default run, 10 in the tests marked `slow`, and 100 at full size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from places import ROOT
from ragloom.components import chunking, embedding
from ragloom.components.chunking.base import SpanParser
from ragloom.components.source.base import Source
from ragloom.core.records import Unreadable
from ragloom.ingestion.read_stage import ChunkedDocument, Job, Reading, Unchanged
from source_files import W, docx_bytes, pdf_bytes, zip_bytes

KOREAN = "보증 기간은 구입일로부터 2년입니다. 문의는 고객센터로 해 주세요.\n"
LETTER = "The warranty covers the frame for two years. 보증은 2년입니다. "


@dataclass(frozen=True)
class Hostile:
    """A file.

    Attributes:
        name: of the file.
        content: its bytes, of about `scale` times a hundredth of the full size.
        text: expected part of the text; None for an unreadable file.
        reason: pattern of the expected reason; empty for a readable file.
    """

    name: str
    content: Callable[[int], bytes]
    text: str | None = None
    reason: str = ""


def encoded(text: Callable[[int], str], encoding: str = "utf-8") -> Callable[[int], bytes]:
    return lambda scale: text(scale).encode(encoding)


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


def row(properties: str = "") -> str:
    return f"<w:tr><w:tc>{properties}{paragraph('a')}</w:tc><w:tc>{paragraph('b')}</w:tc></w:tr>"


def pdf_objects(objects: list[str | bytes], trailer: str = "", prev: int | None = None) -> bytes:
    """Write a PDF of these objects, the first being its root."""
    out, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + (body.encode("latin-1") if isinstance(body, str) else body) + b"\nendobj\n"
    start = len(out)
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n".encode()
    again = f"/Prev {start if prev == -1 else prev}" if prev is not None else ""
    out += f"<< /Size {len(objects) + 1} /Root 1 0 R {again} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return out


FONT = "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"


def pdf_stream(content: bytes, filters: str = "") -> bytes:
    return b"<< /Length %d %s >>\nstream\n" % (len(content), filters.encode()) + content + b"\nendstream"


def pdf_page(content: bytes, filters: str = "", resources: str = FONT) -> bytes:
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R {resources} >>"
    return pdf_objects([CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, pdf_stream(content, filters)])


def pdf_with_a_flate_bomb(scale: int) -> bytes:
    zeros = zlib.compress(zlib.compress(b" " * 8_000_000 * scale, 9), 9)
    return pdf_page(zeros, "/Filter [/FlateDecode /FlateDecode]")


def pdf_with_many_pages(scale: int) -> bytes:
    kids = " ".join(["3 0 R"] * 200 * scale)
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R {FONT} >>"
    shown = pdf_stream(b"BT /F1 12 Tf 72 720 Td (the same page) Tj ET")
    return pdf_objects([CATALOG, f"<< /Type /Pages /Kids [{kids}] /Count {200 * scale} >>", page, shown])


def pdf_with_a_form_in_itself() -> bytes:
    page = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /X 5 0 R >> >> >>"
    )
    form = pdf_stream(
        b"/X Do", "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>"
    )
    return pdf_objects([CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", page, pdf_stream(b"/X Do"), form])


def pdf_with_a_long_word(scale: int) -> bytes:
    """One line ends with a hyphen, and somewhere else stands a word of any length."""
    lines = [b"(%s) Tj 0 -14 Td" % (b"a" * 10_000) for _ in range(scale)]
    return pdf_page(b"BT /F1 1 Tf 72 720 Td (hyphen-) Tj 0 -14 Td (ated) Tj 0 -14 Td " + b" ".join(lines) + b" ET")


def docx_parts(document: str, **changed: str | bytes) -> dict[str, str | bytes]:
    with zipfile.ZipFile(io.BytesIO(docx_bytes(document))) as packed:
        parts: dict[str, str | bytes] = {name: packed.read(name) for name in packed.namelist()}
    return {**parts, **{name.replace("__", "/").replace("_xml", ".xml"): part for name, part in changed.items()}}


def docx_with_dtd(dtd: str, body: str) -> bytes:
    xml = f'<?xml version="1.0"?>\n{dtd}\n<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    return zip_bytes({"word/document.xml": xml})


def laughs(depth: int = 9) -> str:
    entities = "".join(f"<!ENTITY l{n} '" + f"&l{n - 1};" * 10 + "'>" for n in range(1, depth))
    return f'<!DOCTYPE d [<!ENTITY l0 "lol">{entities}]>'


def docx_encrypted() -> bytes:
    """A DOCX whose members are marked as encrypted."""
    content = bytearray(docx_bytes(paragraph("secret")))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found = content.find(signature)
        while found >= 0:
            content[found + at] |= 1
            found = content.find(signature, found + 1)
    return bytes(content)


def docx_with_a_wrong_checksum() -> bytes:
    content = bytearray(docx_bytes(paragraph("damaged")))
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        content[at + 16] ^= 0xFF
        at = content.find(b"PK\x01\x02", at + 1)
    return bytes(content)


def docx_of_bzip2(scale: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("word/document.xml", b" " * 4_000_000 * scale)
    return packed.getvalue()


def docx_with_many_entries(scale: int) -> bytes:
    return zip_bytes({**docx_parts(paragraph("found")), **{f"junk/{n}": b"" for n in range(600 * scale)}})


def docx_in_itself() -> bytes:
    content = zip_bytes({"word/document.xml": "<x/>"})
    for _ in range(50):
        content = zip_bytes({"inner.docx": content})
    return content


def docx_with_notes(notes: str) -> bytes:
    """A document whose first note is cited."""
    return docx_bytes("<w:p><w:r><w:t>cited</w:t><w:footnoteReference w:id='0'/></w:r></w:p>", footnotes=notes)


def note(number: int, *cites: int) -> str:
    runs = "".join(f"<w:r><w:footnoteReference w:id='{n}'/></w:r>" for n in cites)
    return f"<w:footnote w:id='{number}'><w:p><w:r><w:t>note {number}</w:t></w:r>{runs}</w:p></w:footnote>"


def zeros_in_zip(scale: int) -> bytes:
    return zip_bytes(docx_parts("", word__document_xml=b" " * 101_000_000))


def nested(opening: str, inner: str, closing: str, levels: int) -> str:
    return opening * levels + inner + closing * levels


def random_bytes(scale: int) -> bytes:
    return random.Random(7).randbytes(10_000 * scale)


TEXTS = [
    Hostile("empty.txt", lambda s: b"", reason=r"^it is empty \(0 bytes\)$"),
    Hostile("only a mark.txt", lambda s: b"\xef\xbb\xbf", reason="^it is empty: it has no text$"),
    Hostile("only a UTF-16 mark.txt", lambda s: b"\xff\xfe", reason="^it is empty: it has no text$"),
    Hostile("only blanks.txt", lambda s: b" " * 10_000 * s, reason="^it is empty: it has no text$"),
    Hostile("only line ends.md", lambda s: b"\r\n" * 10_000 * s, reason="^it is empty: it has no text$"),
    Hostile("only NULs.txt", lambda s: b"\0" * 10_000 * s, reason="^it is binary, not text$"),
    Hostile("random bytes.txt", random_bytes, reason="binary, not text|encoding is unknown"),
    Hostile("a million letters.txt", lambda s: b"a" * 10_000 * s, "a" * 10_000),
    Hostile("a million Korean letters.txt", encoded(lambda s: "가나다" * 3_000 * s), "가나다" * 3_000),
    Hostile("a million blanks.txt", lambda s: b"a" + b" " * 10_000 * s + b"b", "a" + " " * 10_000),
    Hostile(
        "a million blanks of all kinds.txt", encoded(lambda s: "a" + "\u3000\t\u00a0" * 3_000 * s + "b"), "\u3000\t"
    ),
    Hostile("a million line ends.txt", lambda s: b"a" + b"\r\n" * 10_000 * s + b"b", "a\n\n"),
    Hostile("a million marks.txt", lambda s: b"." * 10_000 * s, "." * 10_000),
    Hostile("a million quotes.txt", lambda s: b"'\"" * 5_000 * s, "'\"'\""),
    Hostile("a hundred MB in one line.txt", encoded(lambda s: LETTER * 13_000 * s), LETTER),
    Hostile("a hundred MB in one line.md", encoded(lambda s: LETTER * 2_000 * s), LETTER),
    Hostile("a sentence without end.txt", encoded(lambda s: "그리고 and " * 1_000 * s), "그리고 and "),
    Hostile("digits.txt", lambda s: b"0123456789" * 1_000 * s, "0123456789"),
    Hostile("base64.txt", lambda s: b"QUJDRA+/" * 1_200 * s, "QUJDRA+/"),
    Hostile(
        "mostly UTF-8.txt", lambda s: (KOREAN * s).encode() + b"\xff" + KOREAN.encode(), reason="UTF-8 except for byte"
    ),
    Hostile("cut in a character.txt", lambda s: (KOREAN * 5).encode()[:-4], reason="UTF-8 except for byte"),
    Hostile(
        "surrogates in UTF-8.txt",
        lambda s: (KOREAN * 5).encode() + b"\xed\xa0\x80",
        reason="UTF-8 except for byte 0xed",
    ),
    Hostile("overlong UTF-8.txt", lambda s: (KOREAN * 5).encode() + b"\xc0\xaf", reason="UTF-8 except for byte 0xc0"),
    Hostile(
        "damaged CP949.txt", lambda s: (KOREAN * 5).encode("cp949") + b"\xff\n", reason=r"CP949 \(Korean\) except for"
    ),
    Hostile("UTF-16 without a mark.txt", encoded(lambda s: LETTER * s, "utf-16-le"), LETTER),
    Hostile("UTF-16 big-endian without a mark.txt", encoded(lambda s: LETTER * s, "utf-16-be"), LETTER),
    Hostile(
        "half of UTF-16.txt", lambda s: b"\xff\xfe" + LETTER.encode("utf-16-le")[:-1], reason="begins as UTF-16-LE"
    ),
    Hostile("half of UTF-32.txt", lambda s: b"\xff\xfe\0\0a\0\0", reason="begins as UTF-32-LE"),
    Hostile("a few NULs.txt", encoded(lambda s: f"{LETTER * 3}\0{LETTER}"), LETTER * 4),
    Hostile("escape sequences.txt", encoded(lambda s: "\x1b[31mred\x1b[0m " + LETTER * 3), "\x1b[31mred"),
    Hostile(
        "bidirectional.txt",
        encoded(lambda s: "user\u202etxt.exe\u2066 \u200fعربي\u2069 " * 10 * s),
        "user\u202etxt.exe",
    ),
    Hostile(
        "zero width.txt",
        encoded(lambda s: "pa\u200bss\u200cwo\u200drd\u2060\ufeff " * 100 * s),
        "pa\u200bss\u200cwo\u200drd",
    ),
    Hostile("combining marks.txt", encoded(lambda s: "z" + "\u0315\u0300\u05ae\u0300" * 2_500 * s), "z\u0315"),
    Hostile("emoji joined.txt", encoded(lambda s: "👩\u200d👩\u200d👧\u200d👦" * 300 * s), "👩\u200d👩"),
    Hostile("noncharacters.txt", encoded(lambda s: "a\ufffe\uffff\U0010ffffb" + LETTER), "a\uffff\U0010ffffb"),
    Hostile("special tokens.txt", encoded(lambda s: "<|endoftext|>[SEP]<s>" * 50 * s), "<|endoftext|>[SEP]<s>"),
    Hostile("mixed line ends.txt", lambda s: b"a\rb\r\nc\n\rd" * 100 * s, "a\nb\nc\n\nd"),
    Hostile("gzip.txt", lambda s: gzip.compress(LETTER.encode() * 9), reason="says text, but it is gzip data"),
    Hostile("bzip2.txt", lambda s: bz2.compress(random_bytes(1)), reason="binary, not text|encoding is unknown"),
    Hostile("a program.md", lambda s: b"\x7fELF\x02\x01\x01" + b"\0" * 99, reason="says markdown, but it is a program"),
    Hostile("a ZIP archive.json", lambda s: zip_bytes({"a": "b"}), reason="says json, but it is a ZIP archive"),
    Hostile("an image.pdf", lambda s: b"\x89PNG\r\n\x1a\n" + b"\0" * 99, reason="says PDF, but it is a PNG image"),
    Hostile("a PDF.docx", lambda s: pdf_bytes([["x"]]), reason="says DOCX, but it is a PDF"),
]
MARKDOWN = [
    Hostile("brackets.md", lambda s: b"[" * 10_000 * s, "[" * 10_000),
    Hostile("bracket pairs.md", lambda s: b"[a](" * 5_000 * s, "[a]([a]("),
    Hostile("asterisks.md", lambda s: b"**a " * 5_000 * s, "**a **a"),
    Hostile("backticks.md", lambda s: b"`" * 10_000 * s, "`" * 10_000),
    Hostile("backticks of all lengths.md", encoded(lambda s: "\n".join("`" * n for n in range(40 * s))), "`````"),
    Hostile("fences.md", lambda s: b"```\n" * 5_000 * s, "```\n```"),
    Hostile("fences that never close.md", lambda s: b"~~~~ a\n```\n" * 2_000 * s, "~~~~ a"),
    Hostile("quotes in quotes.md", lambda s: b"> " * 10_000 * s + b"deep", "> > deep"),
    Hostile("list in list.md", encoded(lambda s: "\n".join(" " * 2 * n + "- x" for n in range(30 * s))), "      - x"),
    Hostile("dashes.md", lambda s: b"- " * 10_000 * s + b"x", "- - x"),
    Hostile("hashes.md", lambda s: b"#" * 10_000 * s, "#" * 10_000),
    Hostile("a heading of blanks.md", lambda s: b"# a" + b" " * 10_000 * s + b"b\n\ntext", "# a  "),
    Hostile("a heading of blanks and hashes.md", lambda s: b"# a" + b" #" * 5_000 * s + b" b\n\ntext", "# a # #"),
    Hostile(
        "a long heading over many chunks.md",
        encoded(lambda s: f"# {'title ' * 2_000 * s}\n\n" + (LETTER * 20 + "\n\n") * 10 * s),
        "# title",
    ),
    Hostile(
        "six long headings over many.md",
        encoded(lambda s: "".join(f"{'#' * n} {'t' * 500 * s}\n" for n in range(1, 6)) + "###### x\n\ny\n\n" * 50 * s),
        "###### x",
    ),
    Hostile(
        "a hundred thousand headings.md",
        encoded(lambda s: "".join(f"{'#' * (1 + n % 6)} h{n}\n" for n in range(1_000 * s))),
        "# h0\n## h1",
    ),
    Hostile("underlines.md", encoded(lambda s: "a\n" + "=" * 10_000 * s + "b\n" + "-" * 10_000 * s + " c"), "a\n==="),
    Hostile("a table rule of blanks.md", lambda s: b"|a\n" + b" " * 10_000 * s + b"x\n", "|a\n   "),
    Hostile(
        "a table rule of dashes.md", lambda s: b"|a|\n|" + b"-" * 10_000 * s + b" " * 10_000 * s + b"x|\n", "|a|\n|---"
    ),
    Hostile("a table rule of cells.md", lambda s: b"|a|\n" + b"| - " * 5_000 * s + b"x\n", "| - | - "),
    Hostile(
        "a table of many columns.md",
        lambda s: b"|a" * 10_000 * s + b"|\n" + b"|-" * 10_000 * s + b"|\n" + b"|1" * 10_000 * s + b"|\n",
        "|a|a|a",
    ),
    Hostile("a table of many rows.md", lambda s: b"|a|b|\n|-|-|\n" + b"|1|2|\n" * 5_000 * s, "|1|2|\n|1|2|"),
    Hostile("pipes.md", lambda s: b"|\n" * 10_000 * s, "|\n|"),
    Hostile("letters in lines.md", lambda s: b"a\n" * 10_000 * s, "a\na\n"),
    Hostile("letters in paragraphs.md", lambda s: b"a\n\n" * 5_000 * s, "a\n\na\n\n"),
]
HTML = [
    Hostile(
        "nested.html",
        encoded(lambda s: nested("<div>", "deep", "</div>", 2_000 + 1_000 * s)),
        "deep",
    ),
    Hostile("nested, but not too deeply.html", encoded(lambda s: nested("<div>", "deep", "</div>", 1_900)), "deep"),
    Hostile("unclosed paragraphs.html", lambda s: b"<p>x" * 10_000 * s, "x\n\nx"),
    Hostile("unclosed bold.html", lambda s: b"<b>x" * 10_000 * s, "xxx"),
    Hostile("unclosed items.html", lambda s: b"<ul><li>x" * 2_000 * s, "- x\n  - x"),
    Hostile("unclosed list items.html", lambda s: b"<li>x" * 10_000 * s, "- x\n- x"),
    Hostile("unclosed table.html", lambda s: b"<table><tr><td>x" * 5_000 * s, "x\n\nx"),
    Hostile("unclosed cells.html", lambda s: b"<table><tr>" + b"<td>x" * 10_000 * s, "x x"),
    Hostile("unopened.html", lambda s: b"x</p></div></b>" * 5_000 * s, "x"),
    Hostile("deep list of many items.html", lambda s: b"<ul>" * 900 + b"<li>x" * 1_000 * s, "- x"),
    Hostile("deep tables of many headings.html", lambda s: b"<div>" * 900 + b"<h1>x</h1>" * 1_000 * s, "# x"),
    Hostile("a huge attribute.html", lambda s: b"<p title='" + b"x" * 100_000 * s + b"'>shown", "shown"),
    Hostile(
        "many attributes.html", encoded(lambda s: f"<p {' '.join(f'a{n}=1' for n in range(1_000 * s))}>shown"), "shown"
    ),
    Hostile(
        "a style of blanks.html",
        lambda s: b"<p style='" + b"; " * 10_000 * s + b" " * 10_000 * s + b"x'>shown",
        "shown",
    ),
    Hostile("a comment that never closes.html", lambda s: b"shown<!--" + b"-" * 10_000 * s, "shown"),
    Hostile("a script that never closes.html", lambda s: b"shown<script>" + b"x" * 10_000 * s, "shown"),
    Hostile("less than.html", lambda s: b"a" + b"<" * 10_000 * s + b"b", "a"),
    Hostile("entities.html", lambda s: b"&amp;&#44032;&lt;" * 1_000 * s, "&가<&가<"),
    Hostile("entities that are none.html", lambda s: b"shown &#x110000; &#0; &nosuch; &#xd800;" * 10 * s, "shown"),
    Hostile("entities in entities.html", encoded(lambda s: laughs() + "<p>shown &l8;"), "shown"),
    Hostile("a declaration that lies.html", lambda s: "<meta charset=utf-8><p>보증 기간".encode("cp949"), "보증 기간"),
    Hostile("a declaration of UTF-16.html", lambda s: "<meta charset=utf-16><p>보증 기간".encode(), "보증 기간"),
    Hostile("a declaration of a codec.html", lambda s: "<meta charset=zip><p>보증 기간".encode(), "보증 기간"),
    Hostile(
        "a declaration of punycode.html", lambda s: b"<meta charset=punycode><p>shown " + b"a" * 10_000 * s, "shown"
    ),
    Hostile("a declaration of UTF-7.html", lambda s: b"<meta charset=utf-7><p>shown +ADw-script+AD4-", "shown"),
    Hostile(
        "a wide table.html",
        lambda s: b"<table><tr>" + b"<td rowspan=65000 colspan=1000>x" * 100 * s + b"<tr><td>y" * 200 * s,
        "x",
    ),
    Hostile("backticks in code.html", lambda s: b"<pre>" + b"`" * 10_000 * s, "`" * 10_000),
    Hostile("code in code.html", lambda s: b"<pre>" * 900 + b"x\n" * 1_000 * s, "x\nx"),
    Hostile(
        "a heading over all.html",
        encoded(lambda s: f"<h1>{'title ' * 1_000 * s}</h1>" + f"<p>{LETTER * 20}" * 10 * s),
        "# title",
    ),
    Hostile("line breaks.html", lambda s: b"x" + b"<br>" * 10_000 * s + b"y", "x\ny"),
    Hostile(
        "line breaks in a cell.html",
        lambda s: b"<table><tr><td>a<td>b<tr><td>" + b"x<br>" * 5_000 * s + b"<td>y</table>",
        "x x",
    ),
    Hostile(
        "items in a cell.html",
        lambda s: b"<table><tr><td>a<td>b<tr><td><ul>" + b"<li>x" * 5_000 * s + b"</ul><td>y</table>",
        "x; x",
    ),
    Hostile("binary.html", random_bytes, reason="binary, not text|encoding is unknown"),
]
PDF = [
    Hostile("cut.pdf", lambda s: pdf_bytes([["One"], ["Two"]])[:400], reason="damaged PDF"),
    Hostile("only a header.pdf", lambda s: b"%PDF-1.7\n", reason="damaged PDF"),
    Hostile("encrypted.pdf", lambda s: pdf_bytes([["x"]], encrypted=True), reason="encrypted and needs a password"),
    Hostile("scanned.pdf", lambda s: pdf_bytes([[], []]), reason="no text layer"),
    Hostile(
        "pages in a circle.pdf",
        lambda s: pdf_objects([CATALOG, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]),
        reason="damaged PDF",
    ),
    Hostile(
        "pages that are their parent.pdf",
        lambda s: pdf_objects(
            [CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]
        ),
        reason="damaged PDF",
    ),
    Hostile(
        "a billion pages.pdf",
        lambda s: pdf_objects(
            [CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1000000000 >>", "<< /Type /Page /Parent 2 0 R >>"]
        ),
        reason="damaged PDF|no text layer",
    ),
    Hostile(
        "no pages.pdf", lambda s: pdf_objects([CATALOG, "<< /Type /Pages /Kids [] /Count 0 >>"]), reason="damaged PDF"
    ),
    Hostile(
        "a table that precedes itself.pdf",
        lambda s: pdf_objects([CATALOG, "<< /Type /Pages /Kids [] /Count 0 >>"], prev=-1),
        reason="damaged PDF",
    ),
    Hostile("references in a circle.pdf", lambda s: pdf_objects([CATALOG, "3 0 R", "2 0 R"]), reason="damaged PDF"),
    Hostile(
        "arrays in arrays.pdf",
        lambda s: pdf_objects([CATALOG, "<< /Type /Pages /Kids " + "[" * 1_000 * s + "]" * 1_000 * s + " /Count 1 >>"]),
        reason="damaged PDF",
    ),
    Hostile("a form in itself.pdf", lambda s: pdf_with_a_form_in_itself(), reason="no text layer"),
    Hostile("a bomb.pdf", pdf_with_a_flate_bomb, reason="no text layer|damaged PDF|needed more than|took longer"),
    Hostile("a thousand times the same page.pdf", pdf_with_many_pages, "the same page"),
    Hostile("states in states.pdf", lambda s: pdf_page(b"q " * 10_000 * s + b"BT /F1 12 Tf (shown) Tj ET"), "shown"),
    Hostile(
        "text outside the page.pdf",
        lambda s: pdf_page(b"BT /F1 12 Tf 1e38 1e38 Td (far) Tj 1e-38 0 0 1e38 0 0 Tm (out) Tj ET"),
        "far",
    ),
    Hostile("a long word.pdf", pdf_with_a_long_word, "a" * 100),
]
OFFICE = [
    Hostile("cut.docx", lambda s: docx_bytes(paragraph("x"))[:300], reason="damaged DOCX"),
    Hostile("a bomb.docx", zeros_in_zip, reason="unpacks to over 100 MB"),
    Hostile("a bomb in bzip2.docx", docx_of_bzip2, reason="ZIP compression is not allowed"),
    Hostile("a thousand archives in each other.docx", lambda s: docx_in_itself(), reason="damaged DOCX"),
    Hostile("many entries.docx", docx_with_many_entries, "found"),
    Hostile("entities in entities.docx", lambda s: docx_with_dtd(laughs(), paragraph("&l8;")), reason="document type"),
    Hostile(
        "entities in an attribute.docx",
        lambda s: docx_with_dtd(laughs(), f"<w:p a='&l8;'/>{paragraph('x')}"),
        reason="document type",
    ),
    Hostile(
        "a file as an entity.docx",
        lambda s: docx_with_dtd('<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>', paragraph("&x;")),
        reason="document type",
    ),
    Hostile("encrypted.docx", lambda s: docx_encrypted(), reason="encrypted and needs a password"),
    Hostile("a wrong checksum.docx", lambda s: docx_with_a_wrong_checksum(), reason="damaged DOCX"),
    Hostile(
        "no XML.docx", lambda s: zip_bytes({"word/document.xml": b"\0\1\2"}), reason="damaged DOCX: its XML is wrong"
    ),
    Hostile(
        "nested.docx",
        lambda s: docx_bytes(nested("<w:sdt><w:sdtContent>", paragraph("deep"), "</w:sdtContent></w:sdt>", 900)),
        "deep",
    ),
    Hostile(
        "nested too deeply.docx",
        lambda s: docx_bytes(
            nested("<w:sdt><w:sdtContent>", paragraph("deep"), "</w:sdtContent></w:sdt>", 1_000 + 500 * s)
        ),
        reason="more than 2,048 levels",
    ),
    Hostile(
        "tables in tables.docx",
        lambda s: docx_bytes(nested("<w:tbl><w:tr><w:tc>", paragraph("deep"), "</w:tc></w:tr></w:tbl>", 600)),
        "deep",
    ),
    Hostile("a long table.docx", lambda s: docx_bytes("<w:tbl>" + row() * 300 * s + "</w:tbl>"), "| a | b |"),
    Hostile(
        "a wide cell.docx",
        lambda s: docx_bytes("<w:tbl>" + row("<w:tcPr><w:gridSpan w:val='99999'/></w:tcPr>") * 100 * s + "</w:tbl>"),
        "| a | b |",
    ),
    Hostile("a note that cites itself.docx", lambda s: docx_with_notes(note(0, 0)), "note 0"),
    Hostile(
        "notes that cite notes.docx",
        lambda s: docx_with_notes("".join(note(n, *[n + 1] * 10) for n in range(20))),
        "note 19",
    ),
    Hostile(
        "a long number over many paragraphs.docx",
        lambda s: docx_bytes(
            "<w:p><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:p>" * 300 * s,
            numbering=f"<w:abstractNum w:abstractNumId='0'><w:lvl w:ilvl='0'><w:lvlText w:val='{'n' * 10_000}'/></w:lvl>"
            "</w:abstractNum><w:num w:numId='1'><w:abstractNumId w:val='0'/></w:num>",
        ),
        "n" * 100,
    ),
    Hostile(
        "a list that is its own style.docx",
        lambda s: docx_bytes(
            "<w:p><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr><w:r><w:t>found</w:t></w:r></w:p>",
            styles="<w:style w:styleId='x'><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:style>",
            numbering="<w:abstractNum w:abstractNumId='0'><w:numStyleLink w:val='x'/></w:abstractNum>"
            "<w:num w:numId='1'><w:abstractNumId w:val='0'/></w:num>",
        ),
        "found",
    ),
    Hostile(
        "a long formula.docx",
        lambda s: docx_bytes(f"<w:p><m:oMath><m:r><m:t>{'_' * 10_000 * s} x</m:t></m:r></m:oMath></w:p>"),
        "_ x",
    ),
    Hostile(
        "a chunk that is a bomb.docx",
        lambda s: docx_bytes(
            "<w:p><w:r><w:t>kept</w:t></w:r></w:p><w:altChunk r:id='c'/>",
            chunks={"c": ("c.html", b"<p>" + b" " * 101_000_000)},
        ),
        "kept",
    ),
    Hostile(
        "deleted marks.docx",
        lambda s: docx_bytes(("<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr><w:r><w:t>a</w:t></w:r></w:p>") * 1_000 * s),
        "aaa",
    ),
    Hostile(
        "a part that is itself.docx",
        lambda s: zip_bytes({"_rels/.rels": '<R><r Type="x/officeDocument" Target="_rels/.rels"/></R>'}),
        reason="another kind of Office file",
    ),
    Hostile(
        "a part outside.docx",
        lambda s: zip_bytes({"_rels/.rels": '<R><r Type="x/officeDocument" Target="../../etc/passwd"/></R>'}),
        reason="damaged DOCX",
    ),
]
TABLES = [
    Hostile("a field of 50 MB.csv", lambda s: b'a,b\n"' + b"x " * 250_000 * s + b'",2\n', "b: 2"),
    Hostile(
        "many columns.csv",
        encoded(lambda s: ",".join(f"c{n}" for n in range(1_000 * s)) + "\n" + ",".join(["1"] * 1_000 * s)),
        "c7: 1",
    ),
    Hostile("many rows.csv", lambda s: b"a,b\n" + b"1,2\n" * 5_000 * s, "a: 1\nb: 2\n\na: 1"),
    Hostile(
        "a long header over many rows.csv",
        lambda s: b"h" * 10_000 * s + b",b\n" + b"1,2\n" * 10_000 * s,
        reason="names",
    ),
    Hostile("NULs.csv", lambda s: b"a,b\n1,2\0\n" + b"3,4\n" * 99, "b: 2"),
    Hostile("a quote that never closes.csv", lambda s: b'a,b\n"' + b"1,2\n" * 10_000 * s, "a: 1\nb: 2"),
    Hostile("quotes that never close.csv", lambda s: b"a,b\n" + b'"""a""\n' * 10_000 * s, 'a: """a""'),
    Hostile("quotes.csv", lambda s: b'a,b\n"' + b'""' * 10_000 * s + b'",2\n', 'a: """'),
    Hostile("commas.csv", lambda s: b"," * 10_000 * s + b"\n" + b"," * 10_000 * s, reason="no text"),
    Hostile("ragged.csv", lambda s: b"a,b\n" + b"1,2\n1,2,3\n" * s, "1, 2, 3"),
    Hostile("blank lines.csv", lambda s: b"a,b\n" + b"\n" * 10_000 * s + b"1,2", "a: 1"),
    Hostile("nested.json", lambda s: b"[" * 1_000 * s + b"]" * 1_000 * s, reason="nested too deeply"),
    Hostile(
        "nested objects.json", lambda s: b'{"a":' * 1_000 * s + b"1" + b"}" * 1_000 * s, reason="nested too deeply"
    ),
    Hostile("nested long names.json", encoded(lambda s: ('{"' + "n" * 100 * s + '":') * 300 + "1" + "}" * 300), "n: 1"),
    Hostile(
        "a long name over a long list.json",
        encoded(lambda s: '{"' + "n" * 10_000 * s + '": [' + "1," * 10_000 * s + "1]}"),
        reason="names",
    ),
    Hostile("a huge number.json", lambda s: b'{"n": ' + b"9" * 10_000 * s + b', "f": 1e99999999}', "f: 1e99999999"),
    Hostile("empty lists.json", lambda s: b"[" + b"[]," * 3_000 * s + b"[]]", "[]"),
    Hostile("half surrogate pairs.json", lambda s: b'{"a": "x\\ud800y", "b": "\\udc00"}', "a: x\ufffdy"),
    Hostile("cut.json", lambda s: json.dumps([{"a": LETTER}] * s).encode()[:-3], reason="not JSON"),
    Hostile("no number.json", lambda s: b'{"a": NaN}', "a: NaN"),
    Hostile("many values.json", lambda s: b'{"a": 1}\n' * 1_000 * s, "a: 1\n\na: 1"),
    Hostile("many wrong lines.json", lambda s: b'{"a": 1}\n' + b"wrong\n" * 10_000 * s, reason="not JSON"),
    Hostile("escapes.json", lambda s: b'"' + b"\\u0041\\n" * 2_000 * s + b'"', "A\nA"),
    Hostile("a NUL in a name.json", lambda s: b'{"a\\u0000b\\n": 1}', "ab"),
]
FILES = [*TEXTS, *MARKDOWN, *HTML, *PDF, *OFFICE, *TABLES]


CHUNKINGS: dict[str, SpanParser] = {}
"""Every option with its own defaults; `recursive` also in tokens."""
OPTIONS = ("fixed", "recursive", "recursive in tokens", "paragraph", "semantic", "hybrid")


def prepare() -> None:
    """Build and warms every chunking, once for all workers."""
    for option in OPTIONS:
        CHUNKINGS[option] = built(option)
        Reading(None, CHUNKINGS[option]).load()  # type: ignore[arg-type]


def built(option: str) -> SpanParser:
    name, _, unit = option.partition(" in ")
    keys = _keys("chunking", name)
    if unit:
        keys |= {"length": "cl100k_base", "chunk_size": 256, "chunk_overlap": 32}
    needed = [embedding.hashing(**_keys("embedding", "hashing"))] if name in ("semantic", "hybrid") else []
    made: SpanParser = getattr(chunking, name)(*needed, **keys)
    return made


def _keys(group: str, option: str) -> dict[str, Any]:
    path = ROOT / "conf" / group / f"{option}.yaml"
    keys: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    del keys["_target_"]
    return keys


def read(item: tuple[Source, str, Job]) -> ChunkedDocument | Unchanged | Unreadable:
    """What the workers run."""
    source, option, job = item
    return Reading(source, CHUNKINGS[option])(job)
