"""Small PDF and DOCX files for the source tests."""

import io
import zipfile

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PREFIXES = " ".join(
    f'xmlns:{prefix}="{name}"'
    for prefix, name in {
        "w": W,
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    }.items()
)


def pdf_bytes(pages: list[list[str]], *, encrypted: bool = False) -> bytes:
    """Write a PDF: a list of lines a page; a page without lines has no text layer. Encrypted: for no password."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids = []
    for lines in pages:
        shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
        stream = f"BT /F1 12 Tf 72 720 Td {shown} ET"
        kids.append(f"{len(objects) + 1} 0 R")
        font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects) + 2} 0 R"
            f" /Resources << /Font << /F1 {font} >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    trailer = f"/Size {len(objects) + 1} /Root 1 0 R"
    if encrypted:
        key = "41" * 32
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>")
        trailer = f"/Size {len(objects) + 1} /Root 1 0 R /Encrypt {len(objects)} 0 R /ID [<{key}> <{key}>]"
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< {trailer} >>\n"
    return f"{out}startxref\n{out.index('xref')}\n%%EOF\n".encode("latin-1")


def docx_bytes(
    body: str,
    *,
    styles: str = "",
    numbering: str = "",
    footnotes: str = "",
    chunks: dict[str, tuple[str, str | bytes | None]] | None = None,
) -> bytes:
    """Write a DOCX of the given WordprocessingML (prefixes `w`, `m`, `r`).

    Args:
        chunks: targets and contents of embedded documents (`w:altChunk`), by relation; without content external.
    """
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{relations}">'
        f'<Relationship Id="r" Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"<w:document {_PREFIXES}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{relations}">'
        + "".join(f'<Relationship Id="{p}" Type="{office}/{p}" Target="{p}.xml"/>' for p in _NAMES)
        + "".join(
            f'<Relationship Id="{id}" Type="{office}/aFChunk" Target="{target}"'
            + (' TargetMode="External"/>' if content is None else "/>")
            for id, (target, content) in (chunks or {}).items()
        )
        + "</Relationships>",
    }
    for name, content in zip(_NAMES, (styles, numbering, footnotes), strict=True):
        if content:
            parts[f"word/{name}.xml"] = f'<w:{name} xmlns:w="{W}">{content}</w:{name}>'
    embedded = {f"word/{target}": content for target, content in (chunks or {}).values() if content is not None}
    return zip_bytes(parts | embedded)


_NAMES = ("styles", "numbering", "footnotes")


def zip_bytes(parts: dict[str, str | bytes]) -> bytes:
    """Pack parts, stamped alike."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
