"""Small PDF files for the PDF tests, from content streams and objects."""

HELVETICA = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def pdf_of(
    content: str,
    *,
    annotations: list[str] | None = None,
    font: str = HELVETICA,
    more: dict[int, str] | None = None,
    page: str = "/MediaBox [0 0 595 842]",
    kids: str = "3 0 R",
) -> bytes:
    """Write a PDF of one page: font F1, annotations as objects 20, 21 ..., further objects by number."""
    notes = {20 + at: note for at, note in enumerate(annotations or [])}
    references = " ".join(f"{number} 0 R" for number in notes)
    objects = {
        1: f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{references}] /DR << /Font << /F1 5 0 R >> >> >> >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {kids.count('R')} >>",
        3: f"<< /Type /Page /Parent 2 0 R {page} /Contents 4 0 R /Annots [{references}]"
        " /Resources << /Font << /F1 5 0 R >> >> >>",
        4: f"<< /Length {len(content.encode())} >>\nstream\n{content}\nendstream",
        5: font,
        **notes,
        **(more or {}),
    }
    out, offsets = b"%PDF-1.7\n", {}
    for number, body in objects.items():
        offsets[number] = len(out)
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{number} 1\n{offset:010d} 00000 n \n" for number, offset in sorted(offsets.items()))
    start = len(out)
    trailer = f"trailer\n<< /Size {max(offsets) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return out + f"xref\n0 1\n0000000000 65535 f \n{table}{trailer}".encode()


def shown(x: float, y: float, text: str, size: float = 12) -> str:
    """Write the operators that show a text at a place."""
    return f"BT /F1 {size} Tf 1 0 0 1 {x} {y} Tm ({text}) Tj ET\n"


def widget(kind: str, rest: str, rect: tuple[int, int, int, int] = (180, 740, 380, 758)) -> str:
    """Write a form field with its only widget."""
    place = " ".join(map(str, rect))
    return f"<< /Type /Annot /Subtype /Widget /FT /{kind} /T (f{rect[1]}x{rect[0]}) /Rect [{place}] /F 4 {rest} >>"


def mapped_font(codes: dict[int, str], width: int = 500) -> dict[int, str]:
    """Write objects 5 to 8: a font that is not embedded, with a map from codes of two bytes to text."""
    entries = "\n".join(f"<{code:04x}> <{text.encode('utf-16-be').hex()}>" for code, text in codes.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def "
        f"1 begincodespacerange <0000> <ffff> endcodespacerange {len(codes)} beginbfchar\n{entries}\nendbfchar "
        "endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    return {
        5: "<< /Type /Font /Subtype /Type0 /BaseFont /AAAAAA+Naskh /Encoding /Identity-H /DescendantFonts [6 0 R] "
        "/ToUnicode 8 0 R >>",
        6: "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /AAAAAA+Naskh /CIDSystemInfo << /Registry (Adobe) "
        f"/Ordering (Identity) /Supplement 0 >> /FontDescriptor 7 0 R /DW {width} /CIDToGIDMap /Identity >>",
        7: "<< /Type /FontDescriptor /FontName /AAAAAA+Naskh /Flags 4 /FontBBox [0 -300 1000 1000] /ItalicAngle 0 "
        "/Ascent 900 /Descent -300 /CapHeight 700 /StemV 80 >>",
        8: f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
    }
