"""What decoding promises: the right text and the encoding's true name, or a reason; never a dropped byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import wording
from messages.source import binary, fits_as_well, guessed_encoding, invalid_byte
from ragloom.components.source.base import CannotRead
from ragloom.components.source.encoding_detection import decode_text
from ragloom.components.source.readers.file_types import parse_file
from ragloom.core.text_normalization import normalize_text

KOREAN = "보증 기간은 구입일로부터 2년입니다. 문의는 고객센터로 해 주세요.\n"
GERMAN = "## können\n\nkönnen\n\näöüß\n"
JAPANESE = "保証期間は購入日から二年間です。お問い合わせはお客様センターまでお願いいたします。" * 4
RUSSIAN = "Гарантийный срок составляет два года со дня покупки велосипеда. Обращайтесь в центр поддержки." * 3
CHINESE = "保修期为自购买之日起两年。如有疑问,请联系我们的客户服务中心,他们会在三天内回复您。" * 4


@pytest.mark.parametrize(
    ("text", "written", "encoding"),
    [
        (KOREAN, "utf-8", "utf-8"),
        (KOREAN, "utf-8-sig", "utf-8"),
        (KOREAN, "utf-16", "utf-16-le"),
        ("\ufeff" + KOREAN, "utf-16-be", "utf-16-be"),
        ("\ufeff" + KOREAN, "utf-32-le", "utf-32-le"),
        ("plain ASCII in UTF-16 without a mark", "utf-16-le", "utf-16-le"),
        ("plain ASCII in UTF-16 without a mark", "utf-16-be", "utf-16-be"),
        (KOREAN, "cp949", "cp949"),
        (KOREAN, "euc-kr", "cp949"),
        ("한글 문서", "cp949", "cp949"),
        ("한", "cp949", "cp949"),
        ("똠방각하 펲시콜라 찦차를 타고 온 사람들", "cp949", "cp949"),
        ("大韓民國憲法은 國會에서 議決하여 國民投票로 確定한 것이다", "cp949", "cp949"),
        (GERMAN, "latin-1", "latin-1"),
        ("äöüß", "latin-1", "latin-1"),
        ("é", "latin-1", "latin-1"),
        ("Ålborg", "latin-1", "latin-1"),
        ("¿Qué pasó? «Nada», dijo él.", "latin-1", "latin-1"),
        ("Le prix est de 20 € – “déjà” payé…", "cp1252", "cp1252"),
        ("plain", "ascii", "utf-8"),
        (JAPANESE, "shift_jis", "cp932"),
        (RUSSIAN, "cp1251", "cp1251"),
        (CHINESE, "gb18030", "gb18030"),
    ],
)
def test_decoded_text_is_right_and_its_encoding_named(text: str, written: str, encoding: str) -> None:
    """TRAPS 35: 한글 문서 in CP949 read as UTF-8 with errors dropped becomes `ѱ `."""
    assert decode_text(text.encode(written), None, []) == (text.removeprefix("\ufeff"), encoding)


@pytest.mark.parametrize(
    "text",
    [
        "temp,area\n25℃,30㎡\n",
        "※ 3℃",
        "①,②",
        "가격 3㎏",
        "→ 5㎝",
        "번호 №3",
        '"℃"',
        "±3℃; 5㎜",
        "half ½",
        "●,○,★",
        "大韓民國",
        "漢字",
        "金,李,朴",
        "甲,乙,丙",
        "韓",
        "뷁,쀍",
        "똠",
        "펲시",
        "꿩",
        "㈜한",
        "unit: ㎖\nunit: ㎎\n",
    ],
)
def test_decoded_korean_with_few_common_syllables_is_korean_and_reported_as_a_guess(text: str) -> None:
    """All of it was read as Latin-1 without a word, since Korean was known by its frequent syllables alone."""
    warnings: list[str] = []
    assert decode_text(text.encode("cp949"), None, warnings) == (text, "cp949")
    assert len(warnings) == 1
    assert warnings[0].startswith(guessed_encoding("cp949 ("))


@pytest.mark.parametrize(
    "text",
    [
        "25°C",
        "20°C,30°F\n",
        "10 µm, 5 m², 3 m³",
        "±5 %",
        "a±b",
        "3×4",
        "Nº 1",
        "§ 3",
        "»Nein«",
        "«Nada»",
        "Größe",
        "São Paulo",
        "INFORMAÇÃO",
        "Área",
        "Çatal",
        "Ærø",
        "ÖÄÜ",
        "Ångström 5 Å",
        "Þór",
        "à",
        "½ cup",
        "£5, ¥500",
        "©2024 Müller",
        "7·8",
    ],
)
def test_decoded_western_signs_and_letters_stay_western(text: str) -> None:
    assert decode_text(text.encode("latin-1"), None, []) == (text, "latin-1")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (KOREAN, "cp949"),
        ("한글 문서", "cp949"),
        ("## können\n\nGröße\n", "latin-1"),
        ("Le prix est de 20 € – “déjà” payé…", "cp1252"),
        ("Größe 25 °C", "latin-1"),
        (KOREAN, "utf-8"),
    ],
)
def test_decoded_encoding_that_is_clear_is_no_guess(text: str, encoding: str) -> None:
    warnings: list[str] = []
    assert decode_text(text.encode(encoding), None, warnings) == (text, encoding)
    assert warnings == []


@pytest.mark.parametrize(
    ("text", "written", "encoding"),
    [
        ("これは自転車です", "shift_jis", "cp932"),
        ("これは自転車です", "euc-jp", "euc_jp"),
        ("我们的产品在中国", "gb18030", "gb18030"),
        ("我們的產品在中國", "big5", "big5"),
        ("Привет, мир", "cp1251", "cp1251"),
    ],
)
def test_decoded_short_texts_of_other_scripts_are_the_most_plausible_and_a_guess(
    text: str, written: str, encoding: str
) -> None:
    warnings: list[str] = []
    assert decode_text(text.encode(written), None, warnings) == (text, encoding)
    assert warnings[0].startswith(guessed_encoding(f"{encoding} ("))


def test_decoded_guess_names_what_would_fit_as_well() -> None:
    warnings: list[str] = []
    decode_text("25℃".encode("cp949"), None, warnings)
    assert "latin-1" in warnings[0]
    assert warnings[0].endswith(fits_as_well())


def test_guess_of_an_encoding_reaches_the_reader_of_each_kind_of_text() -> None:
    content = "25℃,30㎡".encode("cp949")
    for name in ("a.txt", "a.md", "a.csv", "a.tsv", "a.html"):
        result = parse_file(name, content)
        assert "25℃" in result.text
        assert any(warning.startswith(guessed_encoding("cp949")) for warning in result.warnings)
    json = parse_file("a.json", b'{"t": "' + content + b'"}')
    assert json.text == "t: 25℃,30㎡"
    declared = parse_file("a.html", b"<meta charset=euc-kr><p>" + content)
    assert (declared.text, declared.warnings) == ("25℃,30㎡", [])


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_decoded_utf8_is_exactly_what_was_written(text: str) -> None:
    assert decode_text(text.encode(), None, []) == (text.removeprefix("\ufeff"), "utf-8")


@given(st.binary(max_size=60))
def test_decoded_never_drops_a_byte(content: bytes) -> None:
    try:
        text, encoding = decode_text(content, None, [])
    except CannotRead:
        return
    marks = (b"\xff\xfe\0\0", b"\0\0\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
    mark = next((mark for mark in marks if content.startswith(mark)), b"")
    assert text.encode(encoding) == content[len(mark) :]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ((KOREAN * 2).encode() + b"ab\xff" + KOREAN.encode(), "UTF-8 except for byte 0xff in line 3"),
        ((KOREAN * 3).encode()[:100], "UTF-8 except for byte"),
        ((KOREAN * 3).encode("cp949") + b"\xff\n", r"CP949 \(Korean\) except for byte 0xff in line 4"),
        (b"\xff\xfeabc", wording(invalid_byte("UTF-16-LE", 4))),
        (bytes(range(256)) * 4, "binary, not text|encoding is unknown"),
        (b"\x00\x01\x02\x03" * 50, wording(binary())),
    ],
)
def test_decoded_damage_is_said_and_never_garbled(content: bytes, reason: str) -> None:
    with pytest.raises(CannotRead, match=reason):
        decode_text(content, None, [])


@pytest.mark.parametrize(
    ("head", "written", "encoding"),
    [
        ('<meta charset="euc-kr">', "cp949", "cp949"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=ks_c_5601-1987">', "cp949", "cp949"),
        ("<meta charset=shift_jis>", "cp932", "cp932"),
        ('<?xml version="1.0" encoding="euc-jp"?>', "euc-jp", "euc_jp"),
        ('<meta charset="iso-8859-1">', "utf-8", "utf-8"),  # a stale declaration
        ('<meta charset="utf-8">', "cp949", "cp949"),  # a wrong one
        ('<meta charset="no-such-thing">', "utf-8", "utf-8"),
        ('<meta charset="utf-16">', "utf-8", "utf-8"),  # cannot be true where it can be read
        ('<meta charset="base64">', "utf-8", "utf-8"),
        ('<meta charset="euc-kr">', "utf-8-sig", "utf-8"),  # a mark is stronger
    ],
)
def test_html_obeys_mark_then_declaration_then_detection(head: str, written: str, encoding: str) -> None:
    text = "보증" if written in ("cp949", "utf-8", "utf-8-sig") else "保証"
    content = f"<html><head>{head}</head><body><p>{text}</p></body></html>".encode(written)
    body, metadata, _ = parse_file("a.html", content)
    assert (body, metadata["encoding"]) == (text, encoding)


def test_html_declared_western_charset_is_windows_1252_as_in_browsers() -> None:
    body, metadata, _ = parse_file("a.html", b'<meta charset="iso-8859-1"><p>\x93caf\xe9\x94</p>')
    assert (body, metadata["encoding"]) == ("“café”", "cp1252")


def test_normalised_text_has_one_kind_of_line_end_and_no_control_that_means_something_else() -> None:
    assert normalize_text("\ufeffa\r\nb\rc\n\0d\fe\ufffef\ud800g") == "a\nb\nc\nd\nef\ufffdg"


@given(st.text(st.characters() | st.sampled_from("\r\n\0\f\ufffe\ufeff")))
def test_normalised_twice_is_normalised_once(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once).lstrip("\ufeff") == once.lstrip("\ufeff")
    assert not set(once) & set("\r\0\f\ufffe")
    once.encode("utf-8")
