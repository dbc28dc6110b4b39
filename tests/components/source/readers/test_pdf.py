"""What reading PDF promises: cells and numbers stay apart, words stay whole, and what a viewer shows is in the text."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from messages import ANY, wording
from messages.source import glyphs_without_unicode, no_text_layer, unreadable_pages
from pdf_files import mapped_font, pdf_of, shown, widget
from places import CASES
from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import pdf_fallback_font
from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.pdf_glyphs import Glyphs


def text_of(content: bytes) -> str:
    return parse_file("a.pdf", content).text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pdf-cells-fused.pdf", "Pump A 1,250\n7\nPump B 2,839\n5\nPump C 400.01\n3"),
        ("pdf-form-values.pdf", "Registration form\nSerial number: SN-48213\nWarranty: sixty months"),
        ("pdf-arabic-lam-alef.pdf", "حل المشكلات والاستلام خلال أسبوع"),
        (
            "pdf-vertical-japanese.pdf",
            "保証期間は購入日から五年です。\n電池の保証は二年とします。\n返品は三十日以内に申し出てください。\n"
            "修理の受付は平日のみ行います。",
        ),
    ],
)
def test_pdf_case_is_read_as_a_viewer_shows_it(name: str, expected: str) -> None:
    assert parse_file(name, (CASES / name).read_bytes()) == (expected, {"ragloom_format": "pdf"}, [])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (shown(72, 700, "2,839") + shown(300, 700, "5"), ["2,839", "5"]),
        (shown(72, 700, "2,839") + shown(110, 700, "5"), ["2,839", "5"]),
        ("BT /F1 12 Tf 72 700 Td [(2,839) -4000 (5)] TJ ET", ["2,839", "5"]),
        ("BT /F1 12 Tf 30 Tc 72 700 Td (12) Tj ET", ["1", "2"]),
        (shown(72, 700, "12") + shown(72, 686, "34") + shown(72, 672, "56"), ["12", "34", "56"]),
        (shown(72, 700, "12") + shown(300, 686, "34"), ["12", "34"]),
        (shown(300, 700, "12") + shown(72, 700, "34"), ["12", "34"]),
        (shown(72, 700, "12", 30) + shown(120, 700, "34", 8), ["12", "34"]),
        (shown(72, 700, "total") + shown(300, 700, "net"), ["total", "net"]),
        ("BT /F1 1 Tf 12 0 0 12 72 700 Tm (3) Tj 5 0 Td (0) Tj ET", ["3", "0"]),
        ("BT /F1 12 Tf 0 1 -1 0 300 100 Tm (12) Tj 80 0 Td (34) Tj ET", ["12", "34"]),
        ("BT /F1 12 Tf 0 1 -1 0 300 100 Tm (12) Tj 0 -40 Td (34) Tj ET", ["12", "34"]),
    ],
)
def test_pdf_cells_never_become_one_word_or_number(content: str, expected: list[str]) -> None:
    assert sorted(text_of(pdf_of(content)).split()) == sorted(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("BT /F1 12 Tf 72 700 Td [(12) -80 (345)] TJ ET", "12345"),
        ("BT /F1 12 Tf 72 700 Td [(12) 60 (345)] TJ ET", "12345"),
        (shown(72, 700, "12") + shown(85.35, 700, "345"), "12345"),
        ("BT /F1 12 Tf 2 Tc 72 700 Td (PENGUIN 1984) Tj ET", "PENGUIN 1984"),
        ("BT /F1 12 Tf 9 Tc 72 700 Td (PENGUIN) Tj ET", "PENGUIN"),
        ("BT /F1 12 Tf 0 1 -1 0 300 100 Tm (12345) Tj ET", "12345"),
        ("BT /F1 12 Tf .8 .6 -.6 .8 300 100 Tm (12345 words) Tj ET", "12345 words"),
        (shown(72, 700, "CO") + shown(90.7, 697, "2", 7) + shown(98, 700, "total"), "CO2 total"),
        (shown(30, 720, "Text", 38) + shown(100, 689, "Layer", 38), "Text\nLayer"),
        (shown(72, 700, "requerida") + shown(123, 705, "6", 7) + shown(127, 700, "."), "requerida6."),
    ],
)
def test_pdf_words_and_numbers_stay_whole(content: str, expected: str) -> None:
    assert text_of(pdf_of(content)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (shown(72, 700, "10") + shown(85.4, 705, "3", 7), "10^3"),
        ("BT /F1 12 Tf 72 700 Td (10) Tj 5 Ts /F1 7 Tf (3) Tj ET", "10^3"),
        (shown(72, 700, "10") + shown(85.4, 705, "-7", 7), "10^-7"),
        (shown(72, 700, "2019") + shown(98.8, 705, "4", 7) + shown(106, 700, "was"), "2019^4 was"),
        (shown(72, 700, "10") + shown(85.4, 697, "2", 7), "10_2"),
        (shown(72, 700, "21") + shown(85.4, 698.5, "-") + shown(89.4, 700, "7"), "21-7"),
    ],
)
def test_pdf_raised_digits_do_not_join_the_number_before_them(content: str, expected: str) -> None:
    assert text_of(pdf_of(content)) == expected


def test_pdf_text_outside_the_page_is_left_out_and_a_wrong_page_box_hides_nothing() -> None:
    content = shown(72, 700, "inside") + shown(72, 900, "above") + shown(700, 680, "right") + shown(72, 600, "below")
    assert text_of(pdf_of(content)).split() == ["inside", "below"]
    assert text_of(pdf_of(content, page="/MediaBox [0 0 595 842] /CropBox [0 650 595 842]")) == "inside"
    assert "inside" in text_of(pdf_of(content, page="/MediaBox [0 0 0 0]"))


FIELDS = [
    (widget("Tx", "/V (SN-48213)"), "Label: SN-48213"),
    (widget("Tx", "/V <FEFFC11CC6B8>"), "Label: 서울"),
    (widget("Tx", "/V (one\rtwo) /Ff 4096"), "Label:\none\ntwo"),
    (widget("Ch", "/V (b) /Ff 131072 /Opt [[(a) (first)] [(b) (second)]]"), "Label: second"),
    (widget("Ch", "/V [(a) (c)] /Ff 2097152 /I [0 2] /Opt [(a) (b) (c)]"), "Label: a, c"),
    (widget("Ch", "/V (typed) /Ff 393216 /Opt [(a)]"), "Label: typed"),
    (widget("Btn", "/V /Yes /AS /Yes /AP << /N << /Yes 9 0 R /Off 9 0 R >> >>"), "Label: ☒"),
    (widget("Btn", "/V /Off /AS /Off /AP << /N << /Yes 9 0 R /Off 9 0 R >> >>"), "Label: ☐"),
    (widget("Btn", "/V /b /AS /b /Ff 32768 /AP << /N << /b 9 0 R >> >>"), "Label: ☒"),
    (widget("Tx", "/V (secret) /Ff 8192"), "Label:"),
    (widget("Tx", "/V (hidden)").replace("/F 4", "/F 2"), "Label:"),
    (widget("Tx", "/V (not shown)").replace("/F 4", "/F 32"), "Label:"),
    (widget("Btn", "/Ff 65536 /MK << /CA (Print) >>"), "Label:"),
    ("<< /Type /Annot /Subtype /FreeText /Contents (by hand) /Rect [180 740 380 758] >>", "Label: by hand"),
    ("<< /Type /Annot /Subtype /FreeText /Contents (far away) /Rect [180 40 380 58] >>", "Label:\nfar away"),
    ("<< /Type /Annot /Subtype /FreeText /Contents (over it) /Rect [60 740 380 758] >>", "Label:\nover it"),
    ("<< /Type /Annot /Subtype /Text /Contents (a closed note) /Rect [180 740 380 758] >>", "Label:"),
]


@pytest.mark.parametrize(("annotation", "expected"), FIELDS)
def test_pdf_values_and_free_text_stand_where_a_viewer_shows_them(annotation: str, expected: str) -> None:
    form = {9: "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 0 >>\nstream\n\nendstream"}
    assert text_of(pdf_of(shown(72, 744, "Label:"), annotations=[annotation], more=form)) == expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (widget("Tx", "/V (232324) /AP << /N 9 0 R >>"), "Label: 232,324.00"),
        (widget("Tx", "/AP << /N 9 0 R >>"), "Label: 232,324.00"),
        (widget("Tx", "/V (2\r3\r2\r,324.00) /AP << /N 9 0 R >>"), "Label:\n2\n3\n2\n,324.00"),
        ("<< /Type /Annot /Subtype /Stamp /Rect [180 740 380 758] /AP << /N 9 0 R >> >>", "Label: 232,324.00"),
        ("<< /Type /Annot /Subtype /FreeText /Rect [180 740 380 758] /AP << /N 9 0 R >> >>", "Label: 232,324.00"),
        ("<< /Type /Annot /Subtype /Stamp /F 2 /Rect [180 740 380 758] /AP << /N 9 0 R >> >>", "Label:"),
    ],
)
def test_pdf_appearance_of_an_annotation_is_read_where_it_is_not_the_value(annotation: str, expected: str) -> None:
    drawn = "BT /F1 12 Tf 2 4 Td (232,324.00) Tj ET"
    form = (
        "<< /Type /XObject /Subtype /Form /BBox [0 0 200 18] /Resources << /Font << /F1 5 0 R >> >> "
        f"/Length {len(drawn)} >>\nstream\n{drawn}\nendstream"
    )
    assert text_of(pdf_of(shown(72, 744, "Label:"), annotations=[annotation], more={9: form})) == expected


def test_pdf_tick_stands_at_its_label_and_values_of_one_line_in_order() -> None:
    ticks = "/AS /Yes /AP << /N << /Yes 9 0 R /Off 9 0 R >> >>"
    notes = [
        widget("Btn", ticks.replace("/AS /Yes", "/AS /Off"), (110, 740, 120, 758)),
        widget("Btn", f"/V /Yes {ticks}", (60, 740, 70, 758)),
        widget("Tx", "/V (late)", (400, 740, 500, 758)),
        widget("Tx", "/V (early)", (200, 740, 300, 758)),
    ]
    form = {9: "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 0 >>\nstream\n\nendstream"}
    content = shown(72, 744, "yes") + shown(122, 744, "no")
    assert text_of(pdf_of(content, annotations=notes, more=form)) == "☒ yes ☐ no early late"


def test_pdf_form_with_only_values_is_read_and_one_with_empty_boxes_is_not() -> None:
    assert text_of(pdf_of("", annotations=[widget("Tx", "/V (only a value)")])) == "only a value"
    empty = widget("Btn", "/AS /Off /AP << /N << /Yes 9 0 R >> >>")
    with pytest.raises(CannotRead, match=wording(no_text_layer(ANY))):
        text_of(pdf_of("", annotations=[empty]))


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({1: "\u0633", 2: "\u0644\u0627", 3: "\u0645"}, "\u0633\u0644\u0627\u0645"),
        ({1: "\u0633", 2: "\ufefb", 3: "\u0645"}, "\u0633\u0644\u0627\u0645"),
        ({1: "\u0627", 2: "\u0644\u0623", 3: "\u0645"}, "\u0627\u0644\u0623\u0645"),
        ({1: "\u0627", 2: "\u0644\u0644\u0647"}, "\u0627\u0644\u0644\u0647"),
        ({1: "\u0641", 2: "\u0644\u0645", 3: "\u0646"}, "\u0641\u0644\u0645\u0646"),
        ({1: "\u05e9\u05c1", 2: "\u05dc"}, "\u05e9\u05c1\u05dc"),
        ({1: "\u0631", 2: "ffi", 3: "\u0631"}, "\u0631ffi\u0631"),
    ],
)
def test_pdf_ligatures_from_right_to_left_are_in_logical_order(codes: dict[int, str], expected: str) -> None:
    glyphs = "".join(f"{code:04x}" for code in reversed(codes))  # drawn from left to right
    content = f"BT /F1 14 Tf 200 700 Td <{glyphs}> Tj ET"
    assert text_of(pdf_of(content, more=mapped_font(codes))).replace(" ", "") == expected


def test_pdf_mark_drawn_after_its_letter_from_left_to_right_stands_after_it() -> None:
    codes = {1: "\u064a", 2: "\u0636", 3: "\u064b", 4: "\u0627"}
    content = "BT /F1 14 Tf 200 700 Td [<00040002> 450 <0003> 50 <0001>] TJ ET"
    assert text_of(pdf_of(content, more=mapped_font(codes))) == "\u064a\u0636\u064b\u0627"


def test_pdf_word_from_right_to_left_that_was_not_reversed_is_in_logical_order() -> None:
    """PDFium gives ActualText of Chrome's PDFs so: the letters from left to right."""
    word = "\u0625\u0636\u0627\u0641"
    for letters in (word, word[::-1]):
        glyphs = object.__new__(Glyphs)
        glyphs.codes = np.array([ord(letter) for letter in f"a {letters} b"], np.uint32)
        left = np.arange(8) * 7.0 if letters != word else np.array([0, 7, 35, 28, 21, 14, 42, 49])
        glyphs.boxes = np.stack([left, left * 0 + 10, left + 7, left * 0], axis=1).astype(np.float32)
        glyphs.before = {}
        glyphs.order_right_to_left()
        assert glyphs.text() == f"a {word} b"


VERTICAL = {
    5: "<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /UniJIS-UCS2-V /DescendantFonts [6 0 R] >>",
    6: "<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light /CIDSystemInfo << /Registry (Adobe) "
    "/Ordering (Japan1) /Supplement 2 >> /FontDescriptor 7 0 R >>",
    7: "<< /Type /FontDescriptor /FontName /Ryumin-Light /Flags 4 /FontBBox [0 -120 1000 880] /ItalicAngle 0 "
    "/Ascent 880 /Descent -120 /CapHeight 709 /StemV 80 >>",
}
COLUMNS = ["保証期間は購入日から五年です。", "返品は三十日以内に申し出てください。"]


def vertical() -> bytes:
    """Write two columns, each character by itself, in a font that is not embedded."""
    drawn = [
        f"BT /F1 12 Tf 1 0 0 1 {520 - 20 * column} {780 - 12 * row} Tm <{ord(character):04x}> Tj ET"
        for column, text in enumerate(COLUMNS)
        for row, character in enumerate(text)
    ]
    return pdf_of("\n".join(drawn), more=VERTICAL)


def test_pdf_vertical_writing_is_read_by_columns() -> None:
    assert text_of(vertical()).split("\n") == COLUMNS


WITHOUT_FONTS = """
import ctypes, sys, pypdfium2.raw as pdfium
def address():
    return ctypes.cast(info.contents.MapFont, ctypes.c_void_p).value
info = pdfium.FPDF_GetDefaultSystemFontInfo()
if info:
    kept = [type(getattr(info.contents, name))(lambda *arguments: None) for name in ("MapFont", "GetFont", "EnumFonts")]
    info.contents.MapFont, info.contents.GetFont, info.contents.EnumFonts = kept
    pdfium.FPDF_GetDefaultSystemFontInfo = lambda: info
    hidden = address()
from ragloom.components.source.readers import pdf_reader
if info and address() == hidden:  # the fallback font is not installed
    pdfium.FPDF_SetSystemFontInfo(info)
sys.stdout.buffer.write(pdf_reader.read(open(sys.argv[1], "rb").read(), {}, []).encode())
"""


def test_pdf_vertical_writing_is_read_where_the_machine_has_no_font_for_it(tmp_path: Path) -> None:
    """PDFium drops text objects whose box has no width: without a font that was all but the full stops."""
    (tmp_path / "a.pdf").write_bytes(vertical())
    command = [sys.executable, "-c", WITHOUT_FONTS, str(tmp_path / "a.pdf")]
    result = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONUTF8": "1"})
    assert result.stdout.decode().split("\n") == COLUMNS
    assert not result.stderr


def test_fallback_font_is_small_and_whole() -> None:
    font = pdf_fallback_font.box_font()
    assert font.startswith(b"\0\1\0\0")
    assert len(font) < 1000


def test_pdf_bad_page_is_named_and_the_others_are_read() -> None:
    text, _, warnings = parse_file("a.pdf", pdf_of(shown(72, 700, "good"), kids="99 0 R 3 0 R 98 0 R"))
    assert text == "\fgood\f"  # page numbers stay
    assert warnings == [unreadable_pages("pages 1, 3 of 3")]


def test_pdf_warning_lists_ten_pages_and_counts_the_rest() -> None:
    warnings = parse_file("a.pdf", pdf_of(shown(72, 700, "good"), kids="3 0 R " + "99 0 R " * 12)).warnings
    assert warnings[0].startswith("pages 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more of 13: ")


def test_pdf_without_a_page_that_can_be_read_is_damaged() -> None:
    with pytest.raises(CannotRead, match="damaged PDF"):
        text_of(pdf_of("", kids="99 0 R"))


def test_pdf_page_of_glyphs_without_characters_is_named() -> None:
    strange = "<< /Type /Font /Subtype /TrueType /BaseFont /AAAAAA+X /FirstChar 1 /LastChar 8 /Widths [500 500 500] >>"
    drawn = "BT /F1 12 Tf 72 700 Td <0102030405060708> Tj ET"
    with pytest.raises(CannotRead, match=wording(glyphs_without_unicode())):
        text_of(pdf_of(drawn, font=strange))
    both = pdf_of(f"{drawn} BT /F2 12 Tf 72 600 Td (5) Tj ET", font=strange)
    fonts = b"/F2 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
    both = re.sub(rb"(/Resources << /Font << /F1 5 0 R )>> >> >>", rb"\1" + fonts, both)
    text, _, warnings = parse_file("a.pdf", both)
    assert text.strip() == "5"
    assert warnings == [glyphs_without_unicode("page 1 of 1: ") + "; run OCR on it"]


def test_pdf_characters_outside_the_basic_plane_are_whole() -> None:
    codes = {1: "\U0001d465", 2: "\U0001f600", 3: "x\u200by"}
    content = "BT /F1 14 Tf 200 700 Td <000100020003> Tj ET"
    assert text_of(pdf_of(content, more=mapped_font(codes))).replace(" ", "") == "\U0001d465\U0001f600xy"
