"""What reading Word documents promises: their text as Word shows it, with all changes accepted."""

from typing import Any

import pytest
from lxml import etree

from messages import wording
from messages.source import (
    damaged_docx,
    embedded_elsewhere,
    embedded_part_missing,
    embedded_too_deeply,
    no_text_in_it,
    too_many_cells,
)
from places import CASES
from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers.docx_charts import chart_text
from ragloom.components.source.readers.docx_symbol_fonts import symbol_character, symbol_text
from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.reader_interface import ParsedFile
from source_files import docx_bytes
from word_files import cell, para, read, row, run, shown, styled, table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docx-altchunk.docx", "Cover sheet of the report.\n\n# Result\n\nThe pump reached 48 litres a minute."),
        (
            "docx-article-numbers.docx",
            "제1조 (목적) 이 규정은 자전거 대여의 조건을 정한다.\n제2조 (보증금) 보증금은 대여료의 두 배로 한다.\n"
            "  제1항 반납이 늦으면 하루마다 천 원을 뺀다.\n  제2항 파손이 없으면 모두 돌려준다.\n"
            "제3조 (해지) 제2조 제1항을 어기면 계약을 해지한다.",
        ),
        ("docx-equation.docx", "The dose is 1/2 tablet, the area is 10^3 m, and f(x)=√2."),
        (
            "docx-grid-before.docx",
            "| Model | Price | Weight |\n| --- | --- | --- |\n| Fen | 210 | 14 |\n|  | 230 | 15 |",
        ),
        (
            "docx-numbered-headings.docx",
            "# 1 Scope\n\n# 2 Delivery\n\n## 2.1 Place\n\nGoods are handed over at the yard.\n\n## 2.2 Time\n\n"
            "Handing over is on weekdays. See 2.1 for the place.",
        ),
        ("docx-ruby.docx", "この 自転車(じてんしゃ) の保証"),
        ("docx-symbols.docx", "Temperature below 40 °C; size 3 ± 0.1 mm; checked ☒ yes ☐ no"),
    ],
)
def test_docx_case_files_are_read_as_their_list_says(name: str, text: str) -> None:
    result = parse_file(name, (CASES / name).read_bytes())
    assert (result.text, result.warnings) == (text, [])


def test_docm_is_read_as_docx() -> None:
    result = parse_file("a.docm", docx_bytes(para("text")))
    assert (result.text, result.metadata) == ("text", {"ragloom_format": "docx"})


def sym(font: str, code: str) -> str:
    return f'<w:p><w:r><w:sym w:font="{font}" w:char="{code}"/></w:r></w:p>'


@pytest.mark.parametrize(
    ("font", "code", "sign"),
    [
        ("Symbol", "F0B0", "°"),
        ("Symbol", "00B1", "±"),
        ("Symbol", "F0A3", "≤"),
        ("Symbol", "F06D", "μ"),
        ("Symbol", "F0DE", "⇒"),
        ("symbol", "F0B4", "×"),
        ("Wingdings", "F0FE", "☒"),
        ("Wingdings", "F0FC", "✓"),
        ("Wingdings", "F0FB", "✗"),
        ("Wingdings", "F0A8", "☐"),
        ("Wingdings", "F06F", "□"),
        ("Wingdings", "F0E0", "→"),
        ("Wingdings", "F081", "①"),
        ("Wingdings 2", "F052", "☑"),
        ("Wingdings 2", "F0A3", "☐"),
        ("Wingdings 3", "F070", "▲"),
        ("Webdings", "F061", "✓"),
        ("MS Gothic", "2612", "☒"),
        ("Arial", "00B0", "°"),
    ],
)
def test_docx_symbols_are_unicode(font: str, code: str, sign: str) -> None:
    assert shown(sym(font, code)) == sign


def test_docx_symbol_of_an_unknown_font_is_named() -> None:
    result = read(sym("Logo Font", "F041") + para("text"))
    assert result.text == "\ufffd\n\ntext"
    assert result.warnings == ["characters of the unknown font Logo Font are replaced by U+FFFD"]
    assert symbol_character("Symbol", "zz") is symbol_character("Symbol", None) is None


def test_docx_text_in_a_symbol_font_is_read_as_its_signs() -> None:
    """By the run itself, its character style or its paragraph's style; letters, or codes for private use."""
    font = '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>'
    styles = (
        f'<w:style w:type="character" w:styleId="c"><w:name w:val="c"/><w:rPr>{font}</w:rPr></w:style>'
        f'<w:style w:type="paragraph" w:styleId="p"><w:name w:val="p"/><w:rPr>{font}</w:rPr></w:style>'
    )
    runs = [run("40 "), run("\uf0b0", font), run("C, "), run("a", font), run("b", "<w:rStyle w:val='c'/>")]
    body = f"<w:p>{''.join(runs)}</w:p>"
    assert shown(body + styled("D", "p"), styles=styles) == "40 °C, αβ\n\nΔ"
    assert symbol_text("\uf0b0", "Unknown") == "\uf0b0"


def test_docx_boxes_and_lists_of_forms_have_their_values() -> None:
    def field(data: str) -> str:
        begin = f'<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{data}</w:ffData></w:fldChar></w:r>'
        return (
            f'<w:p>{begin}<w:r><w:instrText>FORM</w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>'
        )

    entries = '<w:listEntry w:val="red"/><w:listEntry w:val="blue"/>'
    body = (
        field("<w:checkBox><w:default w:val='0'/><w:checked/></w:checkBox>")
        + field("<w:checkBox><w:default w:val='1'/></w:checkBox>")
        + field("<w:checkBox><w:default w:val='1'/><w:checked w:val='0'/></w:checkBox>")
        + field(f"<w:ddList><w:result w:val='1'/>{entries}</w:ddList>")
        + field(f"<w:ddList>{entries}</w:ddList>")
    )
    assert shown(body).split() == ["☒", "☒", "☐", "blue", "red"]


def mark(kind: str) -> str:
    return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'


def code(text: str) -> str:
    return f"<w:r><w:instrText>{text}</w:instrText></w:r>"


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (mark("begin") + code("PAGE") + mark("separate") + run("7") + mark("end"), "7"),
        (
            mark("begin") + code("IF ") + mark("begin") + code("MERGEFIELD x") + mark("separate") + run("hidden")
            + mark("end") + code(' = "1"') + mark("separate") + run("result") + mark("end") + run(" more"),
            "result more",
        ),
        (mark("begin") + code('SYMBOL 176 \\f "Symbol" \\s 10') + mark("end"), "°"),
        (mark("begin") + code("SYMBOL 0xFE \\f Wingdings") + mark("end"), "☒"),
        (mark("begin") + code("MACROBUTTON NoMacro [Click here]") + mark("end"), "[Click here]"),
        (mark("begin") + code("EQ \\f(1,2)") + mark("end"), "1/2"),
        (mark("begin") + code("EQ \\f(a+b;2)") + mark("end"), "(a+b)/2"),
        (mark("begin") + code("eq \\o\\ac(○,1)") + mark("end"), "①"),
        (mark("begin") + code("EQ \\o\\ac(○,비)") + mark("end"), "비"),
        (mark("begin") + code("EQ \\r(3,x)") + mark("end"), "√[3](x)"),
        (mark("begin") + code("EQ 10\\s\\up8(3)") + mark("end"), "10^3"),
        (mark("begin") + code("EQ x\\s\\do4(1)") + mark("end"), "x_1"),
        (mark("begin") + code("EQ \\b\\bc\\[(\\f(1,x))") + mark("end"), "[1/x]"),
        (mark("begin") + code("EQ \\i\\su(1,n,k)") + mark("end"), "∑_1^n k"),
        (mark("begin") + code("EQ \\a\\co2(1,2,3,4)") + mark("end"), "[1, 2; 3, 4]"),
        (mark("begin") + code("EQ f(x)=\\f(1,g(x))") + mark("end"), "f(x)=1/(g(x))"),
        (run("2") + mark("begin") + code("EQ \\f(1,2)") + mark("end") + run("x"), "2 1/2 x"),
        (mark("begin") + code("XE index") + mark("end") + run("seen"), "seen"),
        (run("a") + mark("begin") + run("b"), "ab"),
        (run("a") + mark("end") + mark("separate") + run("b"), "ab"),
    ],
)  # fmt: skip
def test_docx_fields_show_their_results_and_not_their_code(inner: str, text: str) -> None:
    assert shown(f"<w:p>{inner}</w:p>") == text


def test_docx_numbers_of_fields_that_no_file_stores_are_named() -> None:
    result = read(f"<w:p>{mark('begin')}{code(' LISTNUM ')}{mark('end')}{run('text')}</w:p>")
    assert result.text == "text"
    assert result.warnings == ["numbers of LISTNUM fields are missing: the file does not store them"]


def m(name: str, *inner: str, **properties: str) -> str:
    """An element of a formula."""
    values = "".join(f'<m:{key} m:val="{value}"/>' for key, value in properties.items())
    return f"<m:{name}><m:{name}Pr>{values}</m:{name}Pr>{''.join(inner)}</m:{name}>"


def r(text: str) -> str:
    return f'<m:r><m:t xml:space="preserve">{text}</m:t></m:r>'


def e(*inner: str) -> str:
    return f"<m:e>{''.join(inner)}</m:e>"


def part(name: str, *inner: str) -> str:
    return f"<m:{name}>{''.join(inner)}</m:{name}>"


def fraction(above: str, below: str, **properties: str) -> str:
    return m("f", part("num", r(above)), part("den", r(below)), **properties)


def power(base: str, exponent: str) -> str:
    return m("sSup", e(r(base)), part("sup", r(exponent)))


def limits(below: str, above: str, operand: str, sign: str | None = None) -> str:
    inner = (part("sub", r(below)), part("sup", r(above)), e(operand))
    return m("nary", *inner, chr=sign) if sign else m("nary", *inner)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (fraction("1", "2"), "1/2"),
        (fraction("a+b", "2"), "(a+b)/2"),
        (fraction("1", "2x"), "1/(2x)"),
        (fraction("1", "2", type="lin"), "1/2"),
        (m("d", e(fraction("n", "k", type="noBar"))), "(n over k)"),
        (r("2") + fraction("1", "2"), "2 1/2"),
        (fraction("1", "2") + r("x"), "1/2 x"),
        (power("10", "3"), "10^3"),
        (power("10", "-3"), "10^-3"),
        (power("x", "n+1"), "x^(n+1)"),
        (power("10", "3") + r("m"), "10^3 m"),
        (power("40", "∘") + r("C"), "40°C"),
        (power("f", "′"), "f′"),
        (m("sSup", e(m("d", e(r("a+b")))), part("sup", r("2"))), "(a+b)^2"),
        (m("sSub", e(r("x")), part("sub", r("1"))), "x_1"),
        (m("sSub", e(r("x")), part("sub", r("1"))) + r("2"), "x_1 2"),
        (m("sSubSup", e(r("x")), part("sub", r("i")), part("sup", r("2"))), "x_i^2"),
        (m("rad", part("deg"), e(r("2")), degHide="1"), "√2"),
        (m("rad", part("deg"), e(r("x+1")), degHide="1"), "√(x+1)"),
        (m("rad", part("deg", r("3")), e(r("x"))), "√[3](x)"),
        (limits("k=1", "n", r("k"), "∑"), "∑_(k=1)^n k"),
        (limits("0", "1", r("x+1")), "∫_0^1 (x+1)"),
        (m("d", e(r("x")), begChr="[", endChr=")"), "[x)"),
        (r("y=") + m("d", e(r("x")), begChr="|", endChr="|"), "y=|x|"),
        (m("d", e(r("a")), e(r("b")), sepChr=","), "(a,b)"),
        (m("m", part("mr", e(r("1")), e(r("2"))), part("mr", e(r("3")), e(r("4")))), "[1, 2; 3, 4]"),
        (
            m("d", e(m("m", part("mr", e(r("1")), e(r("2"))), part("mr", e(r("3")), e(r("4"))))), begChr="["
              , endChr="]"),
            "[1, 2; 3, 4]",
        ),
        (m("func", part("fName", r("sin")), e(r("x"))), "sin x"),
        (m("func", part("fName", r("sin")), e(r("x+1"))), "sin(x+1)"),
        (m("func", part("fName", r("cos")), e(m("d", e(r("x"))))), "cos(x)"),
        (m("func", part("fName", m("limLow", e(r("lim")), part("lim", r("x→0")))), e(r("f(x)"))), "lim_(x→0) f(x)"),
        (m("acc", e(r("x"))), "x\u0302"),
        (m("bar", e(r("x")), pos="top"), "x\u0304"),
        (m("eqArr", e(r("x&amp;=1")), e(r("y&amp;=2"))), "x=1; y=2"),
        (m("d", e(m("eqArr", e(r("1")), e(r("2")))), begChr="{", endChr=""), "{1; 2"),
        (m("sPre", part("sub", r("6")), part("sup", r("14")), e(r("C"))), "_6^14 C"),
        (m("phant", e(r("x")), show="0") + r("y"), "y"),
        (m("borderBox", e(r("x=1"))), "x=1"),
        (r("a") + f"<w:del>{r('gone')}</w:del>" + f"<w:ins>{r('+b')}</w:ins>", "a+b"),
        (m("f", part("num", fraction("1", "2")), part("den", r("3"))), "(1/2)/3"),
    ],
)  # fmt: skip
def test_docx_formulas_are_one_line_that_reads_as_nothing_else(inner: str, text: str) -> None:
    assert shown(f"<w:p><m:oMath>{inner}</m:oMath></w:p>") == text


def test_docx_formulas_do_not_fuse_with_the_text_around_them() -> None:
    half = f"<m:oMath>{fraction('1', '2')}</m:oMath>"
    assert shown(f"<w:p>{run('2')}{half}{run('3 of x')}{half}{run('는')}</w:p>") == "2 1/2 3 of x 1/2는"
    assert shown(f"<w:p>{run('(')}{half}{run(')')}</w:p>") == "(1/2)"
    assert shown(f"<w:p>{half}{half}</w:p>") == "1/2 1/2"


def test_docx_formulas_of_their_own_have_a_line_each() -> None:
    one, two = (f"<m:oMath>{r(text)}</m:oMath>" for text in ("a=b", "c=d"))
    shown_ = shown(f"<w:p>{run('so')}<m:oMathPara>{one}</m:oMathPara><m:oMathPara>{two}</m:oMathPara></w:p>")
    assert shown_ == "so\na=b\nc=d"


def test_docx_field_formulas_of_any_form_are_read() -> None:
    deep = "\\f(" * 5_000 + "1,2" + ")" * 5_000
    for text in (deep, "\\f(", "\\f(1", "\\", "((((", "\\b\\lc\\{(x", ",;)"):
        field = f"{mark('begin')}{code('EQ ' + text)}{mark('end')}"
        assert shown(f"<w:p>{run('seen')}{field}</w:p>").startswith("seen")


def test_docx_formulas_nested_deeply_are_read() -> None:
    deep = "<m:f><m:num>" * 400 + r("x") + "</m:num></m:f>" * 400
    assert "x" in shown(f"<w:p><m:oMath>{deep}</m:oMath></w:p>")


def test_docx_rows_keep_the_columns_of_their_grid() -> None:
    rows = [
        row("a", "b", "c"),
        row("1", "2", properties="<w:gridBefore w:val='1'/>"),
        row("3", properties="<w:gridBefore w:val='1'/><w:gridAfter w:val='1'/>"),
        row(cell(para("wide"), "<w:gridSpan w:val='2'/>"), "4"),
    ]
    assert shown(table(*rows)).split("\n")[2:] == ["|  | 1 | 2 |", "|  | 3 |  |", "| wide |  | 4 |"]


def test_docx_deleted_cells_rows_and_hidden_rows_are_left_out() -> None:
    rows = [
        row("a", cell(para("gone"), "<w:cellDel w:id='1'/>"), "b"),
        row("1", "2"),
        row("x", "y", properties="<w:del w:id='1'/>"),
        row("x", "y", properties="<w:hidden/>"),
        row("new", cell(para("cell"), "<w:cellIns w:id='1'/>"), properties="<w:ins w:id='2'/>"),
    ]
    assert shown(table(*rows)) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| new | cell |"


DELETED = "<w:rPr><w:del w:id='1'/></w:rPr>"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (para("a ", DELETED) + para("b") + para("c"), "a b\n\nc"),
        (para("a", DELETED) + para("b", DELETED) + para("c"), "abc"),
        (para("a", "<w:rPr><w:moveFrom w:id='1'/></w:rPr>") + para("b"), "ab"),
        (para("a", DELETED) + "<w:bookmarkStart w:id='1'/>" + para("b"), "ab"),
        (
            para("a", DELETED) + f"<w:sdt><w:sdtPr/><w:sdtContent>{para('b')}</w:sdtContent></w:sdt>" + para("c"),
            "ab\n\nc",
        ),
        (f"<w:sdt><w:sdtContent>{para('a', DELETED)}</w:sdtContent></w:sdt>" + para("b"), "ab"),
        (para("a", DELETED) + table(row("1", "2"), row("3", "4")), "a\n\n| 1 | 2 |\n| --- | --- |\n| 3 | 4 |"),
        (para("a", DELETED), "a"),
        (para("T", "<w:framePr w:dropCap='drop' w:lines='3'/>") + para("he text"), "The text"),
        (para("title", DELETED) + para("b", "<w:outlineLvl w:val='0'/>"), "# titleb"),
        (para("a", "<w:rPr><w:ins w:id='1'/></w:rPr>") + para("b"), "a\n\nb"),
    ],
)
def test_docx_paragraphs_join_where_the_mark_between_them_is_deleted(body: str, text: str) -> None:
    assert shown(body) == text


def test_docx_moved_text_is_shown_where_it_went() -> None:
    moved = f"<w:moveFrom w:id='1'>{run('m')}</w:moveFrom>{run('a')}<w:moveTo w:id='2'>{run('m')}</w:moveTo>"
    assert shown(f"<w:p>{moved}</w:p>") == "am"


def test_docx_text_is_hidden_by_styles_too() -> None:
    """Hiding is a toggle: a character style in a hidden paragraph style shows its text again (17.7.3)."""
    hide = "<w:rPr><w:vanish/></w:rPr>"
    styles = (
        f'<w:style w:type="character" w:styleId="c"><w:name w:val="c"/>{hide}</w:style>'
        '<w:style w:type="character" w:styleId="cc"><w:name w:val="cc"/><w:basedOn w:val="c"/></w:style>'
        f'<w:style w:type="paragraph" w:styleId="p"><w:name w:val="p"/>{hide}</w:style>'
        '<w:style w:type="paragraph" w:styleId="pp"><w:name w:val="pp"/><w:basedOn w:val="p"/></w:style>'
    )

    def line(style: str, *runs: str) -> str:
        return f"<w:p><w:pPr><w:pStyle w:val='{style}'/></w:pPr>{''.join(runs)}</w:p>"

    in_c, in_cc = (run("h", f'<w:rStyle w:val="{name}"/>') for name in ("c", "cc"))
    shown_again = run("own", '<w:vanish w:val="0"/>')
    body = line("", run("a"), in_c, in_cc) + line("p", run("h")) + line("pp", run("h"), shown_again) + line("p", in_c)
    assert shown(body, styles=styles) == "a\n\nown\n\nh"


def test_docx_ruby_stands_behind_its_base() -> None:
    def ruby(base: str, reading: str) -> str:
        parts = f"<w:rubyPr/><w:rt>{run(reading)}</w:rt><w:rubyBase>{run(base)}</w:rubyBase>"
        return f"<w:r><w:ruby>{parts}</w:ruby></w:r>"

    assert shown(f"<w:p>{ruby('漢', 'かん')}{ruby('字', 'じ')}{ruby('x', ' ')}</w:p>") == "漢(かん)字(じ)x"


def test_docx_alternatives_are_shown_once() -> None:
    choices = "".join(f"<mc:Choice Requires='w14'>{run(text)}</mc:Choice>" for text in ("a", "b"))
    assert (
        shown(f"<w:p><mc:AlternateContent>{choices}<mc:Fallback>{run('c')}</mc:Fallback></mc:AlternateContent></w:p>")
        == "a"
    )


def embedded(target: str, content: str | bytes | None) -> ParsedFile:
    body = para("before") + '<w:altChunk r:id="c1"/>' + para("after")
    return parse_file("a.docx", docx_bytes(body, chunks={"c1": (target, content)}))


MHT = (
    "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
    'Content-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    "<h1>T=C3=A9</h1>\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("target", "content", "inner"),
    [
        ("chunk.html", "<h1>Title</h1><ul><li>x</ul>", "# Title\n\n- x"),
        ("chunk.xhtml", '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>p</p></body></html>', "p"),
        ("chunk.htm", "<meta charset=euc-kr><p>보증".encode("cp949"), "보증"),
        ("chunk.txt", "plain <text>", "plain <text>"),
        ("chunk.mht", MHT, "# Té"),
        ("chunk.docx", docx_bytes(para("inner", "<w:outlineLvl w:val='1'/>")), "## inner"),
        ("/word/chunk.html", "<p>p", "p"),
    ],
)
def test_docx_embedded_documents_are_read_in_their_place(target: str, content: str | bytes, inner: str) -> None:
    if target.startswith("/"):
        target = target.removeprefix("/word/")
    result = embedded(target, content)
    assert (result.text, result.warnings) == (f"before\n\n{inner}\n\nafter", [])


@pytest.mark.parametrize(
    ("target", "content", "warning"),
    [
        ("c.rtf", "{\\rtf1 text}", embedded_part_missing("word/c.rtf", "it is an RTF document")),
        ("c.bin", b"\0\1\2", embedded_part_missing("word/c.bin", "it is of an unknown type")),
        ("c.docx", b"PK\x03\x04 broken", embedded_part_missing("word/c.docx", damaged_docx())),
        ("http://host/c.html", None, embedded_elsewhere("http://host/c.html")),
        ("c.html", "<p> ", embedded_part_missing("word/c.html", no_text_in_it())),
    ],
)
def test_docx_embedded_document_that_is_not_read_is_named(target: str, content: str | None, warning: str) -> None:
    result = embedded(target, content)
    assert result.text == "before\n\nafter"
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith(warning)


def test_docx_embedded_in_itself_is_read_to_a_depth() -> None:
    content = docx_bytes(para("deepest"))
    for _ in range(5):
        content = docx_bytes(para("level") + '<w:altChunk r:id="c"/>', chunks={"c": ("c.docx", content)})
    result = parse_file("a.docx", content)
    assert result.text == "\n\n".join(["level"] * 4)
    assert result.warnings == [embedded_part_missing("word/c.docx", embedded_too_deeply(3))]


def test_docx_chunk_without_its_part_is_named() -> None:
    result = read(para("text") + '<w:altChunk r:id="none"/>')
    assert (result.text, result.warnings) == (
        "text",
        [embedded_elsewhere("none (no such part)")],
    )


CHART = (
    "<c:chartSpace xmlns:c='c' xmlns:a='a'><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Sold</a:t></a:r></a:p></c:rich>"
    "</c:tx></c:title><c:plotArea><c:barChart>{}</c:barChart></c:plotArea></c:chart></c:chartSpace>"
)
SERIES = (
    "<c:ser><c:tx><c:strRef><c:strCache><c:pt idx='0'><c:v>{}</c:v></c:pt></c:strCache></c:strRef></c:tx>"
    "<c:cat><c:strRef><c:strCache><c:pt idx='0'><c:v>May</c:v></c:pt><c:pt idx='1'><c:v>June</c:v></c:pt></c:strCache>"
    "</c:strRef></c:cat><c:val><c:numRef><c:numCache><c:pt idx='1'><c:v>{}</c:v></c:pt></c:numCache></c:numRef></c:val></c:ser>"
)


def test_docx_charts_and_diagrams_show_their_texts_and_values() -> None:
    body = (
        f"<w:p>{run('a')}<w:r><w:drawing><c:chart xmlns:c='c' r:id='x'/></w:drawing></w:r></w:p>"
        "<w:p><w:r><w:drawing><d:relIds xmlns:d='d' r:dm='y'/></w:drawing></w:r></w:p>"
        "<w:p><w:r><w:drawing><c:chart xmlns:c='c' r:id='none'/></w:drawing></w:r></w:p>"
    )
    chart = CHART.format(SERIES.format("Fen", "4.4000000000000004") + SERIES.format("Moor", "3"))
    shape = "<d:pt><d:t><a:p><a:r><a:t>{}</a:t></a:r></a:p></d:t></d:pt>"
    diagram = f"<d:dataModel xmlns:d='d' xmlns:a='a'>{shape.format('one')}<d:pt/>{shape.format('two')}</d:dataModel>"
    result = parse_file("a.docx", docx_bytes(body, chunks={"x": ("chart.xml", chart), "y": ("data.xml", diagram)}))
    table = "|  | Fen | Moor |\n| --- | --- | --- |\n| May |  |  |\n| June | 4.4 | 3 |"
    assert (result.text, result.warnings) == (f"a\n\nSold\n\n{table}\n\none\ntwo", [])


def test_docx_runs_of_a_formula_are_one_word() -> None:
    assert shown(f"<w:p><m:oMath>{r('group wit')}{r('h')}{r('1')}{r('2')}</m:oMath></w:p>") == "group with12"


def test_docx_chart_of_too_many_cells_is_refused() -> None:
    def chart(series: int) -> Any:
        points = (f'<ser><val><pt idx="{n}"><v>1</v></pt></val></ser>' for n in range(series))
        return etree.fromstring(f"<chart>{''.join(points)}</chart>")

    assert chart_text(chart(316)).count("\n") == 316  # 316 * 316 = 99,856 cells
    with pytest.raises(CannotRead, match=wording(too_many_cells(100489, 100000))):
        chart_text(chart(317))
