"""Pieces of WordprocessingML for the tests of Word documents."""

from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.reader_interface import ParsedFile
from source_files import docx_bytes


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def para(text: str, properties: str = "", *, number: object = None, depth: int | None = None) -> str:
    """A paragraph; with a number it belongs to a list."""
    level = f'<w:ilvl w:val="{depth}"/>' if depth is not None else ""
    place = f'<w:numPr>{level}<w:numId w:val="{number}"/></w:numPr>' if number is not None else ""
    return f"<w:p><w:pPr>{properties}{place}</w:pPr>{run(text) if text else ''}</w:p>"


def styled(text: str, style: str, properties: str = "") -> str:
    return f"<w:p><w:pPr><w:pStyle w:val='{style}'/>{properties}</w:pPr>{run(text)}</w:p>"


def cell(inner: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inner}</w:tc>"


def row(*cells: str, properties: str = "") -> str:
    cells_xml = (one if one.startswith("<w:tc>") else cell(para(one)) for one in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(cells_xml)}</w:tr>"


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def level(depth: int, text: str, format: str = "decimal", more: str = "", start: int | None = 1) -> str:
    begin = "" if start is None else f'<w:start w:val="{start}"/>'
    return f'<w:lvl w:ilvl="{depth}">{begin}<w:numFmt w:val="{format}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


def definition(id: int, *levels: str) -> str:
    return f'<w:abstractNum w:abstractNumId="{id}">{"".join(levels)}</w:abstractNum>'


def instance(id: int, of: int, **starts: int) -> str:
    """A list of a definition; `d0=5` starts its depth 0 at 5."""
    overrides = "".join(
        f'<w:lvlOverride w:ilvl="{name[1:]}"><w:startOverride w:val="{start}"/></w:lvlOverride>'
        for name, start in starts.items()
    )
    return f'<w:num w:numId="{id}"><w:abstractNumId w:val="{of}"/>{overrides}</w:num>'


def read(body: str, *, styles: str = "", numbering: str = "", footnotes: str = "") -> ParsedFile:
    return parse_file("a.docx", docx_bytes(body, styles=styles, numbering=numbering, footnotes=footnotes))


def shown(body: str, *, styles: str = "", numbering: str = "", footnotes: str = "") -> str:
    return read(body, styles=styles, numbering=numbering, footnotes=footnotes).text
