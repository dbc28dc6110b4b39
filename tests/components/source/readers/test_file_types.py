"""What reading each format promises: the visible text in order, its structure as markdown, or a true reason."""

import io
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docx
import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import whole_wording, wording, wording_at_start
from messages.source import (
    binary,
    damaged_docx,
    damaged_pdf,
    encrypted,
    no_text_in_it,
    no_text_layer,
    not_json_text,
    nothing_in_it,
    other_kind_than_named,
    too_much_xml,
    type_declaration,
)
from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import docx_package
from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.pdf_reader import rejoin_words
from source_files import docx_bytes, pdf_bytes, zip_bytes

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
BLANKS = re.compile(r"\s+")


def text_of(name: str, content: bytes | str) -> str:
    return parse_file(name, content.encode() if isinstance(content, str) else content)[0]


def body(html: str) -> str:
    return text_of("a.html", f"<!DOCTYPE html><meta charset=utf-8><body>{html}")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", whole_wording(nothing_in_it())),
        ("a.md", b" \n\t\n", whole_wording(no_text_in_it())),
        ("a.html", b"<p> </p><script>x()</script>", whole_wording(no_text_in_it())),
        ("a.html", b"<!-- only a comment -->", whole_wording(no_text_in_it())),
        ("a.txt", pdf_bytes([["x"]]), whole_wording(other_kind_than_named("text", "a PDF"))),
        ("a.pdf", PNG, whole_wording(other_kind_than_named("PDF", "a PNG image"))),
        ("a.pdf", b"not a PDF at all", whole_wording(other_kind_than_named("PDF", "not a PDF"))),
        ("a.pdf", b"%PDF-1.4 broken", wording(damaged_pdf())),
        ("a.pdf", pdf_bytes([["x"]], encrypted=True), whole_wording(encrypted())),
        ("a.pdf", pdf_bytes([[]]), wording(no_text_layer("only page has"))),
        ("a.pdf", pdf_bytes([[], []]), wording(no_text_layer("2 pages have"))),
        ("a.csv", PNG, whole_wording(other_kind_than_named("csv", "a PNG image"))),
        ("a.docx", b"plain text", whole_wording(other_kind_than_named("DOCX", "not a ZIP archive"))),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "an OLE file, such as Word 97-2003 wrote$"),
        (
            "a.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            wording_at_start(encrypted()),
        ),
        ("a.docx", docx_bytes("<w:p/>")[:300], wording_at_start(damaged_docx())),
        (
            "a.docx",
            zip_bytes({"mimetype": "x"}),
            wording_at_start(damaged_docx("its ZIP archive is wrong "), "word/document.xml"),
        ),
        ("a.docx", zip_bytes({"word/document.xml": "<unclosed>"}), wording_at_start(damaged_docx("its XML is wrong"))),
        ("a.docx", zip_bytes({"word/document.xml": "<workbook/>"}), "another kind of Office file$"),
        ("a.docx", docx_bytes("<w:p/>"), whole_wording(no_text_in_it())),
        ("a.json", '{"a": 1,\n "b": }', whole_wording("it " + not_json_text(7, line=2))),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.txt", b"text \0\1\2\3\4\5\6\7" * 40, whole_wording(binary())),
    ],
)
def test_parsed_says_plainly_why_a_file_cannot_be_read(name: str, content: bytes | str, reason: str) -> None:
    with pytest.raises(CannotRead, match=reason):
        text_of(name, content)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a.csv", "a.json"])
@given(content=st.binary(max_size=200))
def test_parsed_gives_text_or_a_reason_whatever_the_bytes(name: str, content: bytes) -> None:
    reasons: list[str] = []
    for start in (b"", b"%PDF-1.4\n", b"PK\x03\x04", b"[", b"<p>"):
        try:
            text = parse_file(name, start + content).text
        except CannotRead as error:
            reasons.append(error.reason)
        else:
            assert text.strip()
            assert not set(text) & set("\r\0\ufffe")
    assert all(reason.startswith(("it ", "its ")) for reason in reasons)


@given(data=st.data(), name=st.sampled_from(["a.pdf", "a.docx"]))
def test_parsed_gives_text_or_a_reason_whatever_was_lost(data: st.DataObject, name: str) -> None:
    """zipfile seeks to negative places (ValueError) when an archive lost bytes: found by cutting real files."""
    whole = pdf_bytes([["One"]]) if name == "a.pdf" else docx_bytes(f"<w:p>{run('one')}</w:p>")
    start = data.draw(st.integers(0, len(whole)))
    content = whole[:start] + data.draw(st.binary(max_size=4)) + whole[start + data.draw(st.integers(0, 300)) :]
    try:
        text, reason = text_of(name, content), "it is read"
    except CannotRead as error:
        text, reason = "refused", error.reason
    assert text
    assert reason.startswith(("it ", "its "))


def test_pdf_pages_are_separated_by_form_feeds_and_nothing_else_is() -> None:
    text, metadata, _ = parse_file("a.pdf", pdf_bytes([["One", "line two"], [], ["Three"]]))
    assert text.split("\f") == ["One\nline two", "", "Three"]
    assert metadata == {"ragloom_format": "pdf"}


def test_pdf_is_not_refused_for_the_reason_of_the_one_before() -> None:
    """pypdfium2 5.15 gives PDFium's last error for a document without pages, which then is an older one's."""
    without_pages = pdf_bytes([])
    for _ in range(2):
        with pytest.raises(CannotRead, match=whole_wording(damaged_pdf())):
            text_of("a.pdf", without_pages)
        with pytest.raises(CannotRead, match=whole_wording(encrypted())):
            text_of("a.pdf", pdf_bytes([["x"]], encrypted=True))


def test_pdf_may_have_bytes_before_its_header() -> None:
    assert text_of("a.pdf", b"\n\n" + pdf_bytes([["shifted"]])) == "shifted"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("Ef\ufffefects of", "Effects of"),
        ("Ef\ufffe\nfects of", "Effects of"),
        ("hormone\ufffeblocking is hormone-blocking", "hormone-blocking is hormone-blocking"),
        ("cord\ufffelike: like a cord", "cord-like: like a cord"),
        ("re\ufffecover; recover", "recover; recover"),
        ("SKU\ufffe8847", "SKU-8847"),
        ("Hewlett\ufffePackard", "Hewlett-Packard"),
        ("exam\ufffeple", "example"),
        ("under\ufffestand what to understand under this stand", "understand what to understand under this stand"),
        ("at the end\ufffe", "at the end-"),
        ("no hyphen", "no hyphen"),
    ],
)
def test_pdf_words_cut_at_line_ends_are_joined_as_the_document_writes_them(page: str, expected: str) -> None:
    """PDFium marks the place with U+FFFE, or U+0002 in bounded text, and drops the line break."""
    assert rejoin_words([page.replace("\ufffe", "\x02")]) == [expected]


def test_pdf_readers_in_many_threads_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """PDFium is not thread-safe: two readers at once can crash the process or mix texts."""
    files = [pdf_bytes([[f"file {number} page {page}"] for page in range(5)]) for number in range(8)]
    open_documents, together = [0], []

    class WatchedDocument(pypdfium2.PdfDocument):
        def __init__(self, content: bytes) -> None:
            open_documents[0] += 1
            together.append(open_documents[0])
            time.sleep(0.001)  # lets another thread in, if it may
            super().__init__(content)

        def close(self) -> None:
            super().close()
            open_documents[0] -= 1

    monkeypatch.setattr(pypdfium2, "PdfDocument", WatchedDocument)
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(lambda content: text_of("a.pdf", content), files))
    assert result == ["\f".join(f"file {n} page {p}" for p in range(5)) for n in range(len(files))]
    assert together == [1] * len(files)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>A</h1><p>x</p><h3>B <i>c</i><br>d</h3>", "# A\n\nx\n\n### B c d"),
        ("<p>one<br>two</p>three<div>four</div>", "one\ntwo\n\nthree\n\nfour"),
        ("<p>a <b>bold</b>, <a href='http://x/y'>link</a>.</p>", "a bold, link."),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "- a\n- b\n  - c\n- d"),
        ("<ol start=3><li>a<li value=7>b<li>c</ol>", "3. a\n7. b\n8. c"),
        ("<ul><li><p>a</p><p>b</p></li></ul>", "- a\n  b"),
        ("<li>stray", "- stray"),
        ("<pre>x = 1\n  y\n</pre><p>z", "```\nx = 1\n  y\n```\n\nz"),
        ("<pre>```\nx</pre>", "````\n```\nx\n````"),
        ("<p># not a heading</p><p>| x</p><p>``` y</p>", "\\# not a heading\n\n\\| x\n\n\\``` y"),
        ("<p hidden>a</p><p style='color:red; DISPLAY : none'>b</p><script>c</script>d<!-- e -->f<style>g", "df"),
        ("<noscript>a</noscript><template>b</template><select><option>c</select>d<input value=e>", "c d e"),
        ("<p>a&nbsp;&nbsp;b &amp; &lt;c&gt; &#44032;</p>", "a b & <c> 가"),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "a\nb\n\nc\nd"),
        ("<nav>menu</nav><footer>imprint</footer>", "menu\n\nimprint"),
        ("<button>a</button><button>b</button>", "a b"),
        ("<img src=x alt='not visible'>x<svg><title>no</title><text>y</text></svg>", "x y"),
        ("<blockquote><p>a</p></blockquote>", "a"),
        ("plain", "plain"),
    ],
)
def test_html_becomes_markdown_of_what_is_visible(html: str, expected: str) -> None:
    assert body(html) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("<tr><th>a<th>b<tr><td>1<td>2", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<tr><td>a|b<td><p>c</p><p>d</p><tr><td><td>e", "| a\\|b | c d |\n| --- | --- |\n|  | e |"),
        ("<tr><td><ul><li>x<li>y</ul><td>z<tr><td>1<td>2", "| x; y | z |\n| --- | --- |\n| 1 | 2 |"),
        ("<tr><td>a<td></td><td>b<tr><td>1<td><td>2", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("<tr><td rowspan=2>k<td>1<tr><td>2", "| k | 1 |\n| --- | --- |\n| k | 2 |"),
        ("<tr><td colspan=2>k<td>x<tr><td>1<td>2<td>3", "| k |  | x |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
        ("<tr><td>1<td rowspan=2>k<tr><td>2<tr><td>3<td>4", "| 1 | k |\n| --- | --- |\n| 2 | k |\n| 3 | 4 |"),
        ("<tr><td>only<td>row", "only row"),
        ("<tr><td>a<div><td>b</div><tr><td>c<td>d", "| a | b |\n| --- | --- |\n| c | d |"),
        ("<tr><td>one<tr><td>column", "one\ncolumn"),
        ("<tr><td> ", ""),
        ("<caption>t</caption><tr><td>1<td>2<tr><td>3<td>4", "t\n\n| 1 | 2 |\n| --- | --- |\n| 3 | 4 |"),
    ],
)
def test_html_table_rows_and_spans(rows: str, expected: str) -> None:
    assert body(f"<p>-<table>{rows}</table>") == f"-\n\n{expected}".strip()


def test_html_table_that_only_arranges_a_page_is_read_as_blocks() -> None:
    inner = "<table><tr><td>1<td>2<tr><td>3<td>4</table>"
    assert body(f"<table><tr><td><h2>T</h2><td>{inner}</table>") == "## T\n\n| 1 | 2 |\n| --- | --- |\n| 3 | 4 |"


@pytest.mark.parametrize(
    "rows",
    [
        "<tr>" + "<td rowspan=65000 colspan=1000>x" * 1000 + "<tr><td>y" * 2000,
        "<tr>" + "<td rowspan=65000>x" * 1000 + "<tr>" * 20_000,
        "<tr>" + "<td>x" * 5000 + "<tr><td>y" * 5000,
        "<tr><td colspan=1000>x" * 5000,
        f"<tr><td rowspan=65000>{'x' * 100_000}" + "<tr><td>y" * 10_000,
    ],
)
def test_html_table_of_a_small_file_stays_small(rows: str) -> None:
    """Spans and ragged rows could let a few kilobytes grow to any size."""
    assert len(body(f"<table>{rows}</table>")) < 1_000_000


def test_html_nested_deeply_is_read_whole() -> None:
    """libxml2 drops what is deeper than 2,048 levels without an error; recursive renderers crash before that."""
    for levels in (1_900, 10_000):
        deep = "<div>" * levels + "deep" + "</div>" * levels
        assert body(f"{deep}<p>after") == "deep\n\nafter"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "div", "li", "td", "tr", "table", "ul", "h2", "pre", "b", "dd"]),
            st.text("ab <&#|\n가"),
        )
    )
)
def test_html_loses_no_visible_text_however_wrong_the_nesting(parts: list[tuple[str, str]]) -> None:
    escaped = [(tag, text.replace("&", "&amp;").replace("<", "&lt;")) for tag, text in parts]
    html = "".join(f"<{tag}>{text}" for tag, text in escaped)
    try:
        result = body(html)
    except CannotRead:  # it has no text
        result = ""
    # Sorted: text between the cells of a table is shown before the table, in browsers as well.
    assert sorted(re.findall("[ab가]", result)) == sorted(re.findall("[ab가]", "".join(text for _, text in parts)))


def test_html_title_is_metadata() -> None:
    assert parse_file("a.htm", b"<title> The\n title </title><p>x")[1]["title"] == "The title"


def test_docx_has_headings_lists_and_tables_in_order() -> None:
    document: Any = docx.Document()
    document.add_paragraph("Handbook", "Title")
    document.add_heading("Part", 1)
    document.add_paragraph("one", "List Bullet")
    document.add_paragraph("deeper", "List Bullet 2")
    document.add_paragraph("first", "List Number")
    document.add_paragraph("second", "List Number")
    table = document.add_table(3, 2)
    for row, cells in zip(table.rows, [("a", "b"), ("1", "2"), ("3", "4")], strict=True):
        row.cells[0].text, row.cells[1].text = cells
    document.add_heading("Section", 2)
    document.add_paragraph("끝.")
    packed = io.BytesIO()
    document.save(packed)
    assert text_of("a.docx", packed.getvalue()) == (
        "# Handbook\n\n## Part\n\n- one\n- deeper\n\n1. first\n2. second\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\n### Section\n\n끝."
    )


def run(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t>{text}</w:t></w:r>"


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p>{run(text)}</w:p></w:tc>"


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        (f"<w:p>{run('a')}<w:ins>{run('b')}</w:ins><w:del>{run('c')}</w:del></w:p>", "ab"),
        (f"<w:p>{run('a')}{run('secret', '<w:vanish/>')}" + run("b", '<w:vanish w:val="0"/>') + "</w:p>", "ab"),
        (
            "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>",
            "a b\nc-d",
        ),
        (f"<w:p><w:hyperlink>{run('link')}</w:hyperlink><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>", "link"),
        (f"<w:sdt><w:sdtContent><w:p>{run('in a control')}</w:p></w:sdtContent></w:sdt>", "in a control"),
        (f"<w:p><w:pPr><w:outlineLvl w:val='1'/></w:pPr>{run('outline')}</w:p>", "## outline"),
        (f"<w:p><w:pPr><w:pStyle w:val='own'/></w:pPr>{run('own style')}</w:p>", "## own style"),
        (f"<w:p><w:pPr><w:pStyle w:val='loop'/></w:pPr>{run('x')}</w:p>", "x"),
        (
            f"<w:p>{run('a')}<w:r><w:txbxContent><w:p>{run('box')}</w:p></w:txbxContent></w:r>{run('b')}</w:p>",
            "a\n\nbox\n\nb",
        ),
        (f"<w:p>{run('a')}<w:r><w:footnoteReference w:id='2'/></w:r></w:p>", "a[^1]\n\n[^1]: the note"),
        (
            "<w:tbl><w:tr>" + cell("k", '<w:vMerge w:val="restart"/>') + cell("1") + "</w:tr>"
            "<w:tr>" + cell("", "<w:vMerge/>") + cell("2") + "</w:tr></w:tbl>",
            "| k | 1 |\n| --- | --- |\n| k | 2 |",
        ),
        (
            "<w:tbl><w:tr>" + cell("wide", '<w:gridSpan w:val="2"/>') + cell("x") + "</w:tr>"
            "<w:tr>" + cell("1") + cell("2") + cell("3") + "</w:tr></w:tbl>",
            "| wide |  | x |\n| --- | --- | --- |\n| 1 | 2 | 3 |",
        ),
    ],
)
def test_docx_is_read_as_word_shows_it(xml: str, expected: str) -> None:
    styles = (
        '<w:style w:styleId="h2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="own"><w:name w:val="Kapitel"/><w:basedOn w:val="h2"/></w:style>'
        '<w:style w:styleId="loop"><w:name w:val="Loop"/><w:basedOn w:val="loop"/></w:style>'
    )
    notes = f'<w:footnote w:id="2"><w:p>{run("the note")}</w:p></w:footnote>'
    assert text_of("a.docx", docx_bytes(xml, styles=styles, footnotes=notes)) == expected


def test_docx_lists_count_by_level_and_restart() -> None:
    def item(text: str, number: int, level: int) -> str:
        place = f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>'
        return f"<w:p><w:pPr>{place}</w:pPr>{run(text)}</w:p>"

    numbering = (
        '<w:abstractNum w:abstractNumId="1"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/>'
        '<w:lvlText w:val="%1."/></w:lvl><w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/>'
        '<w:lvlText w:val="%2."/></w:lvl></w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num>'
        '<w:num w:numId="2"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/>'
        "</w:lvlOverride></w:num>"
    )
    items = [("a", 1, 0), ("b", 1, 1), ("c", 1, 1), ("d", 1, 0), ("e", 1, 1)]
    xml = "".join(item(*each) for each in items) + f"<w:p>{run('between')}</w:p>" + item("f", 1, 0) + item("g", 2, 0)
    result = text_of("a.docx", docx_bytes(xml, numbering=numbering))
    assert result == "1. a\n  1. b\n  2. c\n2. d\n  1. e\n\nbetween\n\n3. f\n1. g"


def test_docx_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx_package, "MAX_XML_BYTES", 1_000_000)
    content = docx_bytes(f"<w:p>{run('x' * 2_000_000)}</w:p>")
    assert len(content) < 10_000
    with pytest.raises(CannotRead, match=wording(too_much_xml(1))):
        text_of("a.docx", content)


def test_docx_entities_are_never_expanded() -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY f SYSTEM "file:///etc/hostname">]>'
    document = docx_bytes(f"<w:p>{run('seen &a;&f;')}</w:p>")
    parts = {name: zipfile.ZipFile(io.BytesIO(document)).read(name).decode() for name in ("word/document.xml",)}
    bomb = zip_bytes({"word/document.xml": entities + parts["word/document.xml"]})
    with pytest.raises(CannotRead, match=wording(type_declaration())):
        text_of("a.docx", bomb)  # read without its entities it would lack text
    wide = (entities + parts["word/document.xml"]).encode("utf-16")
    with pytest.raises(CannotRead, match=wording(type_declaration())):
        text_of("a.docx", zip_bytes({"word/document.xml": wide}))


def test_docx_note_is_shown_once_however_often_it_is_cited() -> None:
    """A note that cites itself was read for ever, and notes that cite two others each doubled at each."""
    cite = "<w:r><w:footnoteReference w:id='{}'/></w:r>".format
    notes = "".join(
        f"<w:footnote w:id='{n}'><w:p>{run(f'note {n}')}{cite(n)}{cite(n + 1)}{cite(n + 1)}</w:p></w:footnote>"
        for n in range(2)
    )
    assert text_of("a.docx", docx_bytes(f"<w:p>{run('a')}{cite(0)}{run('b')}{cite(0)}</w:p>", footnotes=notes)) == (
        "a[^1]b[^1]\n\n[^1]: note 0[^1][^2][^2]\n\n[^2]: note 1[^2]"
    )


def test_csv_rows_are_understood_alone() -> None:
    content = '이름,가격,비고\r\n"자전거, 대형",12,"두 줄\r\n비고"\r\n벨,3,\r\n\r\n,,\r\n'.encode("cp949")
    text, metadata, _ = parse_file("a.csv", content)
    assert text == "이름: 자전거, 대형\n가격: 12\n비고: 두 줄 비고\n\n이름: 벨\n가격: 3"
    assert metadata == {"ragloom_format": "csv", "encoding": "cp949"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a;b\n1,5;2,5\n", "a: 1,5\nb: 2,5"),
        ("a\tb\n1\t2\n", "a: 1\nb: 2"),
        ("a|b\n1|2\n", "a: 1\nb: 2"),
        ("name\nx\n", "name: x"),
        ("a,b,,\n1,2,3,\n", "a: 1\nb: 2\ncolumn 3: 3"),
        ("a,b\n1\n", "a: 1"),
        ("a,b\n", "a, b"),
        ('a,b\n"x ""y""",2\n', 'a: x "y"\nb: 2'),
        ("a,b\n" + "x" * 200_000 + ",2\n", "a: " + "x" * 200_000 + "\nb: 2"),
    ],
)
def test_csv_delimiters_and_ragged_rows(content: str, expected: str) -> None:
    assert text_of("a.csv", content) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            '{"b": 1, "a": {"x": [true, null, 2.50, 1e400]}}',
            "b: 1\na.x[0]: true\na.x[1]: null\na.x[2]: 2.50\na.x[3]: 1e400",
        ),
        ('[{"a": 1, "b": 2}, {"a": 3}]', "a: 1\nb: 2\n\na: 3"),
        ('["x", "y"]', "x\n\ny"),
        ('{"a": [], "b": {}, "a": "again"}', "a: []\nb: {}\na: again"),
        ('"alone"', "alone"),
        ('{"a": "two\\r\\nlines", "b": "\\ud800"}', "a: two\nlines\nb: \ufffd"),
        ("{" * 0 + '{"n": ' + "9" * 5000 + "}", "n: " + "9" * 5000),
    ],
)
def test_json_becomes_path_and_value_lines_in_the_files_order(content: str, expected: str) -> None:
    assert text_of("a.json", content) == expected


def test_json_nested_a_thousand_deep_is_read() -> None:
    assert text_of("a.json", '{"a":' * 400 + "1" + "}" * 400) == ".".join(["a"] * 400) + ": 1"
