"""What automatic numbers of Word documents promise: each stands before its paragraph as Word shows it."""

import pytest

from ragloom.components.source.readers.docx_number_formats import numeral
from word_files import cell, definition, instance, level, para, read, row, run, shown, styled, table


def numbered(format: str, text: str = "%1", start: int = 1) -> str:
    return shown(para("x", number=1), numbering=definition(0, level(0, text, format, start=start)) + instance(1, 0))


@pytest.mark.parametrize(
    ("format", "values"),
    [
        ("decimal", {0: "0", 1: "1", 12: "12"}),
        ("decimalZero", {1: "01", 10: "10"}),
        ("upperRoman", {1: "I", 4: "IV", 9: "IX", 1994: "MCMXCIV"}),
        ("lowerRoman", {3: "iii", 40: "xl"}),
        ("upperLetter", {1: "A", 26: "Z", 27: "AA", 53: "AAA"}),
        ("lowerLetter", {2: "b", 28: "bb"}),
        ("ganada", {1: "가", 2: "나", 14: "하", 15: "가"}),
        ("chosung", {1: "ㄱ", 14: "ㅎ"}),
        ("koreanDigital", {1: "일", 10: "일영", 21: "이일"}),
        ("koreanDigital2", {3: "三", 20: "二零"}),
        ("koreanCounting", {1: "일", 10: "십", 21: "이십일", 100: "백"}),
        ("koreanLegal", {1: "하나", 11: "열하나", 20: "스물"}),
        ("ideographDigital", {1: "一", 10: "一〇"}),
        ("chineseCounting", {3: "三", 10: "十", 12: "十二", 20: "二十"}),
        (
            "chineseCountingThousand",
            {11: "十一", 101: "一百零一", 110: "一百一十", 10_050: "一万零五十", 12_000: "一万二千"},
        ),
        ("chineseLegalSimplified", {1: "壹", 10: "壹拾"}),
        ("ideographLegalTraditional", {2: "貳", 10: "壹拾"}),
        ("taiwaneseCountingThousand", {15: "十五"}),
        ("japaneseCounting", {100: "百", 101: "百一", 10_000: "万", 20_001: "二万一"}),
        ("japaneseLegal", {1: "壱", 10: "壱拾"}),
        ("ideographTraditional", {1: "甲", 10: "癸", 11: "11"}),
        ("ideographZodiac", {1: "子", 12: "亥"}),
        ("ideographZodiacTraditional", {1: "甲子", 2: "乙丑", 11: "甲戌", 13: "丙子"}),
        ("ideographEnclosedCircle", {1: "㊀"}),
        ("decimalEnclosedCircle", {1: "①", 20: "⑳", 21: "21"}),
        ("decimalEnclosedParen", {1: "⑴"}),
        ("decimalEnclosedFullstop", {2: "⒉"}),
        ("decimalFullWidth", {12: "１２"}),
        ("aiueoFullWidth", {1: "ア", 46: "ン", 47: "ア"}),
        ("aiueo", {1: "ｱ"}),
        ("irohaFullWidth", {1: "イ", 2: "ロ"}),
        ("ordinal", {1: "1st", 2: "2nd", 11: "11th", 21: "21st"}),
        ("cardinalText", {1: "One", 21: "Twenty-one", 100: "One hundred"}),
        ("ordinalText", {1: "First", 12: "Twelfth", 20: "Twentieth", 31: "Thirty-first"}),
        ("russianLower", {1: "а", 9: "и", 10: "к"}),
        ("hex", {10: "A"}),
        ("numberInDash", {2: "- 2 -"}),
        ("chicago", {1: "*", 5: "**"}),
        ("thaiNumbers", {10: "๑๐"}),
        ("none", {7: ""}),
        ("bullet", {7: ""}),
    ],
)
def test_numeral_is_written_as_word_writes_it(format: str, values: dict[int, str]) -> None:
    assert {value: numeral(value, format) for value in values} == values


def test_numerals_of_no_rule_are_decimal_and_named() -> None:
    numbering = definition(0, level(0, "%1.", "bahtText")) + instance(1, 0)
    result = read(para("a", number=1) + para("b", number=1), numbering=numbering)
    assert result.text == "1. a\n2. b"
    assert result.warnings == ["numbers in the format bahtText are shown as decimal numbers"]


def test_numerals_of_any_value_stay_short() -> None:
    formats = ("upperLetter", "upperRoman", "chicago", "ganada", "koreanCounting", "cardinalText", "hebrew2")
    assert max(len(numeral(value, format) or "") for format in formats for value in (99_999, 27_000, 40_000)) < 80


@pytest.mark.parametrize(
    ("format", "text", "expected"),
    [
        ("decimal", "제%1조", "제1조 x"),
        ("decimal", "(%1)", "(1) x"),
        ("lowerLetter", "(%1)", "(a) x"),
        ("upperRoman", "%1.", "I. x"),
        ("ganada", "%1.", "가. x"),
        ("decimalEnclosedCircle", "%1", "① x"),
        ("decimal", "Article %1 -", "Article 1 - x"),
        ("decimal", "%1%2", "1 x"),
        ("decimal", "", "x"),
        ("none", "Note:", "Note: x"),
        ("none", "%1", "x"),
        ("bullet", "", "- x"),
        ("bullet", "•", "- x"),
        ("bullet", "※", "※ x"),
        ("bullet", "①", "① x"),
        ("bullet", "Note:", "Note: x"),
        ("bullet", "o", "- x"),
        ("bullet", "ㅇ", "- x"),
        ("bullet", "☐", "☐ x"),
    ],
)
def test_numbers_show_the_text_of_their_level(format: str, text: str, expected: str) -> None:
    assert numbered(format, text) == expected


def test_numbers_are_glued_or_set_apart_as_the_level_says() -> None:
    def text(suffix: str) -> str:
        numbering = definition(0, level(0, "제%1조", more=f'<w:suff w:val="{suffix}"/>')) + instance(1, 0)
        return shown(para("(목적)", number=1), numbering=numbering)

    assert [text(suffix) for suffix in ("nothing", "space", "tab")] == ["제1조(목적)", "제1조 (목적)", "제1조 (목적)"]


def outline(*levels: str, more: str = "") -> str:
    return definition(0, *levels) + instance(1, 0) + more


def test_numbers_of_levels_count_and_begin_again_below_each_other() -> None:
    numbering = outline(level(0, "%1."), level(1, "%1.%2"), level(2, "(%3)", "lowerLetter"))
    depths = [0, 1, 2, 2, 1, 2, 0, 1]
    assert shown("".join(para("x", number=1, depth=d) for d in depths), numbering=numbering) == (
        "1. x\n  1.1 x\n    (a) x\n    (b) x\n  1.2 x\n    (a) x\n2. x\n  2.1 x"
    )


@pytest.mark.parametrize(
    ("levels", "depths", "expected"),
    [
        ([level(0, "%1"), level(1, "%1.%2")], [1, 1, 0, 1], ["1.1", "1.2", "2", "2.1"]),
        ([level(0, "%1"), level(1, "%1.%2", start=5)], [0, 1, 1, 0, 1], ["1", "1.5", "1.6", "2", "2.5"]),
        ([level(0, "%1", "upperRoman"), level(1, "%1.%2")], [0, 0, 1], ["I", "II", "II.1"]),
        ([level(0, "%1", "upperRoman"), level(1, "%1.%2", more="<w:isLgl/>")], [0, 0, 1], ["I", "II", "2.1"]),
        ([level(0, "%1"), level(1, "%2", more='<w:lvlRestart w:val="0"/>')], [0, 1, 0, 1], ["1", "1", "2", "2"]),
        (
            [level(0, "%1"), level(1, "%1.%2"), level(2, "%3", more='<w:lvlRestart w:val="1"/>')],
            [0, 1, 2, 1, 2, 0, 2],
            ["1", "1.1", "1", "1.2", "2", "2", "1"],
        ),
        ([level(0, "%1"), level(1, "•", "bullet"), level(2, "%1.%2%3")], [0, 1, 2], ["1", "-", "1.1"]),
        ([level(0, "%1", start=None)], [0, 0], ["0", "1"]),
        ([level(0, "%1", start=7)], [0, 0], ["7", "8"]),
    ],
)
def test_numbers_start_restart_and_skip_as_defined(levels: list[str], depths: list[int], expected: list[str]) -> None:
    """Levels that were passed over stand at their start, and count: so do Word, LibreOffice and Open XML PowerTools."""
    text = shown("".join(para("x", number=1, depth=d) for d in depths), numbering=outline(*levels))
    assert [line.split()[0] for line in text.split("\n")] == expected


def test_numbers_of_lists_of_one_definition_count_together_and_start_once() -> None:
    numbering = outline(level(0, "%1"), more=instance(2, 0, d0=8) + instance(3, 0))
    lists = [1, 1, 2, 2, 1, 3, 2]
    text = shown("".join(para("x", number=n) for n in lists), numbering=numbering)
    assert text.split() == ["1", "x", "2", "x", "8", "x", "9", "x", "10", "x", "11", "x", "12", "x"]


def test_numbers_go_on_behind_other_text_and_in_other_lists() -> None:
    numbering = (
        definition(0, level(0, "%1.")) + definition(1, level(0, "-", "bullet")) + instance(1, 0) + instance(2, 1)
    )
    body = para("a", number=1) + para("between") + para("b", number=2) + para("c", number=1)
    assert shown(body, numbering=numbering) == "1. a\n\nbetween\n\n- b\n\n2. c"


def test_numbers_levels_may_be_replaced_in_one_list() -> None:
    own = '<w:lvlOverride w:ilvl="0">' + level(0, "제%1장") + "</w:lvlOverride>"
    numbering = (
        definition(0, level(0, "%1."))
        + instance(1, 0)
        + (f'<w:num w:numId="2"><w:abstractNumId w:val="0"/>{own}</w:num>')
    )
    assert shown(para("a", number=1) + para("b", number=2), numbering=numbering) == "1. a\n제2장 b"


def test_numbers_of_newer_formats_are_padded() -> None:
    custom = (
        "<mc:AlternateContent><mc:Choice Requires='w14'><w:numFmt w:val='custom' w:format='001, 002, 003, ...'/>"
        "</mc:Choice><mc:Fallback><w:numFmt w:val='decimal'/></mc:Fallback></mc:AlternateContent>"
    ).replace("mc:", "x:")
    lvl = f'<w:lvl w:ilvl="0" xmlns:x="x"><w:start w:val="7"/>{custom}<w:lvlText w:val="No. %1"/></w:lvl>'
    assert shown(para("x", number=1), numbering=definition(0, lvl) + instance(1, 0)) == "No. 007 x"


STYLES = (
    '<w:style w:type="paragraph" w:styleId="h1"><w:name w:val="heading 1"/>'
    '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="h2"><w:name w:val="heading 2"/><w:basedOn w:val="h1"/>'
    '<w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="h3"><w:name w:val="heading 3"/>'
    '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="own"><w:name w:val="own"/><w:basedOn w:val="h3"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="bare"><w:name w:val="bare"/><w:basedOn w:val="h1"/>'
    '<w:pPr><w:numPr><w:numId w:val="0"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="numbering" w:styleId="list"><w:name w:val="list"/>'
    '<w:pPr><w:numPr><w:numId w:val="2"/></w:numPr></w:pPr></w:style>'
)


def linked(depth: int, text: str, style: str) -> str:
    return level(depth, text, more=f'<w:pStyle w:val="{style}"/>')


def test_numbers_of_headings_come_from_their_styles() -> None:
    """H3 says no level: the level that is linked to it does; styles that only say a level inherit the list."""
    numbering = outline(linked(0, "제%1장", "h1"), linked(1, "%1.%2", "h2"), linked(2, "%1.%2.%3", "h3"))
    body = "".join(styled(name, name) for name in ("h1", "h2", "h3", "own", "bare", "h1"))
    body += styled("off", "h2", '<w:numPr><w:numId w:val="0"/></w:numPr>')
    body += styled("up", "h2", '<w:numPr><w:ilvl w:val="0"/></w:numPr>')
    assert shown(body, styles=STYLES, numbering=numbering).split("\n\n") == [
        "# 제1장 h1", "## 1.1 h2", "### 1.1.1 h3", "### 1.1.2 own", "# bare", "# 제2장 h1", "## off", "## 제3장 up",
    ]  # fmt: skip


def test_numbers_of_the_default_style_hold_for_paragraphs_without_one() -> None:
    styles = STYLES.replace('w:styleId="h3"', 'w:styleId="h3" w:default="1"').replace("heading 3", "Normal")
    assert shown(para("x"), styles=styles, numbering=outline(level(0, "%1)"))) == "1) x"


def test_numbers_of_a_list_style_are_followed() -> None:
    link = '<w:abstractNum w:abstractNumId="1"><w:numStyleLink w:val="list"/></w:abstractNum>'
    numbering = definition(0, level(0, "[%1]")) + link + instance(2, 0) + instance(3, 1)
    body = para("a", number=3) + para("b", number=2)
    assert shown(body, styles=STYLES, numbering=numbering) == "[1] a\n[2] b"


def test_numbers_in_table_cells_are_shown_also_where_they_are_all_there_is() -> None:
    numbering = outline(level(0, "%1.", "ganada"))
    rows = [row(cell(para("", number=1)), text) for text in ("x", "y")]
    assert shown(table(*rows), numbering=numbering) == "| 가. | x |\n| --- | --- |\n| 나. | y |"
    several = row(cell(para("a", number=1) + para("b", number=1)), "z")
    assert shown(table(several, row("1", "2")), numbering=numbering) == "| 가. a; 나. b | z |\n| --- | --- |\n| 1 | 2 |"


def test_numbers_of_notes_and_text_boxes_count_apart_from_the_body() -> None:
    numbering = outline(level(0, "%1."))
    box = f"<w:p><w:r><w:txbxContent>{para('box', number=1)}</w:txbxContent></w:r></w:p>"
    cited = "<w:p><w:r><w:t>a</w:t><w:footnoteReference w:id='2'/></w:r></w:p>"
    note = f'<w:footnote w:id="2">{para("note", number=1)}</w:footnote>'
    body = para("b", number=1) + box + para("c", number=1) + cited
    text = shown(body, numbering=numbering, footnotes=note)
    assert text.split() == ["1.", "b", "1.", "box", "2.", "c", "a[^1]", "[^1]:", "1.", "note"]


def test_numbers_of_hidden_and_deleted_paragraphs_do_not_count() -> None:
    numbering = outline(level(0, "%1."))
    hidden = (
        "<w:p><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr><w:rPr><w:vanish/></w:rPr></w:pPr>"
        f"{run('h', '<w:vanish/>')}</w:p>"
    )
    deleted = (
        "<w:p><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr><w:rPr><w:del w:id='1'/></w:rPr></w:pPr>"
        f"<w:del>{run('d')}</w:del></w:p>"
    )
    body = para("a", number=1) + hidden + para("b", number=1) + deleted + para("c", number=1) + deleted
    assert shown(body, numbering=numbering) == "1. a\n2. b\n3. c"


def test_numbers_that_are_hidden_are_counted_and_not_shown() -> None:
    numbering = outline(level(0, "%1.", more="<w:rPr><w:vanish/></w:rPr>"), level(1, "%1.%2"))
    assert shown(para("a", number=1) + para("b", number=1, depth=1), numbering=numbering) == "a\n\n  1.1 b"


def test_numbers_of_no_list_are_none() -> None:
    assert shown(para("a", number=9) + para("b", number=0), numbering=outline(level(0, "%1."))) == "a\n\nb"


def test_depth_beyond_the_nine_levels_is_the_last_one() -> None:
    levels = [level(depth, f"%{depth + 1}") for depth in range(9)]
    assert shown(para("x", number=1, depth=12), numbering=definition(0, *levels) + instance(1, 0)).strip() == "1 x"
