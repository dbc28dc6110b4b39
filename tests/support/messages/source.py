"""Wording of the messages about sources, files and their readers."""


def nothing_in_it() -> str:
    return "it is empty (0 bytes)"


def no_text_in_it() -> str:
    return "it is empty: it has no text"


def encrypted() -> str:
    return "it is encrypted and needs a password"


def damaged_pdf() -> str:
    return "it is a damaged PDF: PDFium cannot open it"


def damaged_docx(reason: str = "") -> str:
    return f"it is a damaged DOCX: {reason}"


def other_kind_than_named(name: str, kind: str) -> str:
    return f"its name says {name}, but it is {kind}"


def no_text_layer(pages: str) -> str:
    return f"no text layer: its {pages} no text, as in a scan"


def run_ocr() -> str:
    return "; run OCR on it first"


def binary() -> str:
    return "it is binary, not text"


def not_json_text(column: int, line: int | None = None) -> str:
    place = f"in line {line}, column {column}" if line else f"at column {column}"
    return f"is not JSON: Expecting value {place}"


def line_skipped() -> str:
    return "a line is skipped, since it "


def nested_too_deeply(what: str, levels: int) -> str:
    return f"{what} is nested too deeply: more than {levels} levels"


def too_much_xml(megabytes: int) -> str:
    return f"unpacks to over {megabytes} MB of XML"


def type_declaration() -> str:
    return "its XML has a document type declaration, not allowed in DOCX"


def too_many_cells(cells: int, limit: int) -> str:
    return f"{cells:,} cells; the limit is {limit:,}"


def names_too_long(times: int) -> str:
    return f"over {times} times as long; shorten the names"


def more_cells_than_table(line: str, cells: int, header: int) -> str:
    return (
        f"{line} has more cells than the table ({cells} cells, its header {header}): kept as text, without column names"
    )


def above_table(lines: str) -> str:
    return f"{lines} above the table, kept as text"


def below_table(line: str) -> str:
    return f"{line} below the table, kept as text"


def unnamed_columns(names: int, cells: int) -> str:
    return f"its header has {names} names, most rows {cells} cells: the last columns are named by number"


def embedded_part_missing(part: str, reason: str) -> str:
    return f"its embedded part {part} is missing in the text: {reason}"


def embedded_too_deeply(levels: int) -> str:
    return f"documents are embedded in each other more than {levels} levels deep"


def embedded_elsewhere(target: str) -> str:
    return f"its text at {target} is missing: it is not in this file"


def unreadable_pages(pages: str) -> str:
    return f"{pages}: cannot be read; the file is damaged there"


def glyphs_without_unicode(page: str = "") -> str:
    return f"{page}most glyphs have no Unicode mapping, so the text may be wrong"


def guessed_encoding(encoding: str) -> str:
    return f"its encoding is a guess: {encoding}"


def fits_as_well() -> str:
    return "would fit as well); save it as UTF-8 if its text is wrong"


def invalid_byte(encoding: str, at: int) -> str:
    return f"begins as {encoding}, but is invalid at byte {at}"


def undecodable_line(byte: str, column: int) -> str:
    return f"the line is not UTF-8: byte {byte} at column {column}"


def convert_to_utf8(encoding: str) -> str:
    return f"is {encoding}; convert it to UTF-8"


def name_not_unicode() -> str:
    return "its name is not Unicode; rename it"


def link_to_itself() -> str:
    return "it is a symbolic link that leads back to itself"


def link_loop(target: object) -> str:
    return f"it is a symbolic link loop: it leads back to {target}"


def gone_or_broken_link() -> str:
    return "it no longer exists, or it is a broken link"


def not_a_file(kind: str) -> str:
    return f"it is a {kind}, not a file"


def no_permission(what: str = "it") -> str:
    return f"there is no permission to read {what}"


def name_too_long() -> str:
    return "the system cannot read this folder: File name too long"


def grew_over(megabytes: float) -> str:
    return f"grew over the limit of {megabytes} MB"


def too_large_file(megabytes: float, limit: float) -> str:
    return f"{megabytes} MB is over source.max_file_mb={limit}"


def read_by_jsonl_only() -> str:
    return "no reader for .jsonl in a folder; it is read by source=jsonl"


def still_written() -> str:
    return "it is being written to"


def changed_each_time() -> str:
    return "it changed each time it was read"


def changed_while_listed() -> str:
    return "it changed while it was listed"


def changed_after_listing() -> str:
    return "the file changed after it was listed"


def set_to_jsonl(problem: str) -> str:
    return f"{problem}; set it to a JSON Lines file"


def not_readable_json(reason: str) -> str:
    return f"the line is not readable JSON: {reason}"


def not_an_object(what: str) -> str:
    return f"{what}; it must be an object"


def missing_field(field: str, *fields: str) -> str:
    return f"the line has no field {field!r}; its fields are: {', '.join(repr(name) for name in fields)}"


def field_not_text(field: str, kind: str) -> str:
    return f"its {field!r} is {kind}; it must be a text"


def no_valid_id(field: str, kind: str) -> str:
    return f"its {field!r} is {kind}; it must be a non-blank text or an integer"


def lone_surrogate_in_line() -> str:
    return "the line has a lone surrogate (such as \\ud800), not a character"


def id_used_twice(id: object, line: int) -> str:
    return f"its id '{id}' is already used in line {line}"


def line_too_long(megabytes: float, limit: float) -> str:
    return f"the line has {megabytes} MB, over source.max_line_mb={limit}"


def pattern_below_path() -> str:
    return "must be a pattern of paths relative to source.path"


def name_needed(path: str) -> str:
    return f"source: name=null must be set: path={path!r} has no name"


def is_full() -> str:
    return " is full; make room, or set TMPDIR"


def temporary_folder_needs_room() -> str:
    return "source: the folder of temporary files must have room"


def squad_too_large(limit: str) -> str:
    return f"must have at most {limit}"


def raise_max_file() -> str:
    return " raise source.max_file_mb"


def quotes_wrong_in(line: int) -> str:
    return f"quotes are wrong in line {line}, kept as ordinary characters"


def excluded() -> str:
    return "excluded by source.exclude"
