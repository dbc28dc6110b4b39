"""What the `analyzer` group promises."""

import json
import pickle
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ragloom.components.analyzer as builders
from messages import wording
from messages.config import install_extra
from messages.embedding import option_needs_package
from places import TESTS
from ragloom.components.analyzer.base import Analyzer
from ragloom.components.analyzer.english_analyzer import STOP_WORDS
from ragloom.core.records import canonical_json, sha256
from ragloom.errors import ConfigError

OPTIONS = ("multilingual", "english", "korean", "whitespace")
GOLDEN = TESTS / "golden" / "analyzer.json"
# What every option is run on for the golden digest: languages, scripts, forms, signs, nothing.
SAMPLES = (
    "The QUICK brown foxes' running; it isn't 3.14 of naïve_café’s, e.g. co-operation at http://example.org/a_b?c=1",
    "계약서를 3월 15일에 체결했다. K팝은 大韓民國의 Ragloom v2.0! ㅋㅋㅋ ㅠㅠ 아름다웠던 서울특별시",
    "東京タワーへ行きました。ｶﾞｷﾞ ﾃｽﾄ 你好，世界 データベース",
    "Straße ΣΊΣΥΦΟΣ İstanbul привет ﬁne Ⅷ ½ ① ﷺ हिन्दी ไทย العَرَبِيَّة",
    "🚀👩🏽‍🚀 🇰🇷 ✓ ❤️ 1️⃣ \u00ad\u200bsoft\u00adhyphen x\u200by",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 나랏〮말〯ᄊᆞ미 e\u0301 \u0301 葛\U000e0100城 か\u3099",
    "",
    " \t\r\n\u00a0\u3000\u2028\f",
)

everything = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(
            "가나다ㄱㅏㅋ힣한국漢字かなカナー한각ᄊᆞ \t\n\u3000\u00a0\ufe0f\u200d\u0301\u3099🚀🏽🇰🇷aZ09_-'’ﷺ"
        ),
    ),
    max_size=60,
)


def build(option: str) -> Analyzer:
    if option == "korean":
        pytest.importorskip("kiwipiepy", reason="the extra `korean` is not installed")
    made: Analyzer = _BUILT.setdefault(option, None) or getattr(builders, option)()
    _BUILT[option] = made
    return made


_BUILT: dict[str, Analyzer] = {}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The Quick FOX", ["the", "quick", "fox"]),
        ("don't e.g. a_b", ["don", "t", "e", "g", "a", "b"]),
        ("Straße ＡＢＣ ﬁne Ⅷ", ["strasse", "abc", "fine", "viii"]),
        ("계약서를 봐", ["계약", "약서", "서를", "봐"]),
        ("3월 15일에", ["3", "월", "15", "일에"]),
        ("K팝은 v2개", ["k", "팝은", "v2", "개"]),
        ("東京タワーへ", ["東京", "京タ", "タワ", "ワー", "ーへ"]),
        ("大韓民國의", ["大韓", "韓民", "民國", "國의"]),
        ("ｶﾞｷﾞ", ["ガギ"]),
        ("ㅋㅋㅋ", ["\u110f\u110f", "\u110f\u110f"]),
        ("ai와 go의", ["ai", "와", "go", "의"]),
        ("cafe\u0301 cafe\u00ad\u0301 café", ["café", "café", "café"]),
        ("हिन्दी", ["हिन्दी"]),
        ("👩🏽‍🚀 🇰🇷 ok👍", ["👩", "🚀", "🇰🇷", "ok", "👍"]),
        ("soft\u00adhyphen x\u200by ❤\ufe0f", ["softhyphen", "x", "y", "❤"]),
        ("葛\U000e0100城", ["葛城"]),
        ("ᄊᆞ미", ["ᄊᆞ미"]),
        ("𝐁old 𠀀𠀁", ["bold", "𠀀𠀁"]),
        ("\u0301 ... _ -", []),
        ("ﷺ", ["صلى", "الله", "عليه", "وسلم"]),
    ],
)
def test_multilingual_gives_words_and_overlapping_bigrams(text, terms):
    assert build("multilingual").terms(text) == terms


def test_multilingual_finds_a_korean_word_whatever_particle_follows():
    """TRAPS 6: split at blanks, 계약서를 does not match 계약서."""
    analyzer = build("multilingual")
    assert set(analyzer.terms("계약서")) <= set(analyzer.terms("계약서를 검토했다"))
    assert not set(build("whitespace").terms("계약서")) & set(build("whitespace").terms("계약서를 검토했다"))


def test_multilingual_reads_composed_and_decomposed_korean_alike():
    text = "한국어 문서를 검색합니다"
    assert build("multilingual").terms(unicodedata.normalize("NFD", text)) == build("multilingual").terms(text)


@given(everything)
def test_multilingual_does_not_depend_on_case_or_normal_form(text):
    terms = build("multilingual").terms
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert terms(unicodedata.normalize(form, text)) == terms(text)


@given(everything, everything)
def test_multilingual_reads_texts_apart_as_it_reads_them_together(one, other):
    terms = build("multilingual").terms
    assert terms(f"{one}\n{other}") == terms(one) + terms(other)


@given(st.text(st.characters(codec="ascii"), max_size=80))
def test_multilingual_s_short_way_for_ascii_is_the_long_way(text):
    terms = build("multilingual").terms
    assert [*terms(text), "é"] == terms(f"{text} é")


@given(everything)
def test_multilingual_s_reader_for_the_bmp_is_the_reader_for_all(text):
    terms = build("multilingual").terms
    assert [*terms(text), "𐐨"] == terms(f"{text} 𐐨")


@given(everything)
def test_multilingual_loses_no_letter_or_digit(text):
    """Letters and digits of the folded text are those of the terms, bigrams joined again."""
    kept = {character for term in build("multilingual").terms(text) for character in term}
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    ignorable = re.compile("[\u115f\u1160\u3164\uffa0]")
    missing = {c for c in folded if unicodedata.category(c)[0] in "LN" and not ignorable.match(c)} - kept
    assert not missing


@pytest.mark.parametrize("option", ["multilingual", "english", "whitespace"])
@given(text=everything)
def test_no_term_is_empty_or_holds_a_blank(option, text):
    for term in build(option).terms(text):
        assert term
        assert not any(character.isspace() for character in term)


def test_no_character_gives_a_term_with_a_blank():
    """Some characters become several words under NFKC, such as U+FDFA."""
    for option in ("multilingual", "english"):
        terms = build(option).terms
        for code in [*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)]:
            assert not any(" " in term or not term.strip() for term in terms(f"a{chr(code)}가"))


def test_english_leaves_out_stop_words_and_stems_the_rest():
    assert build("english").terms("The foxes were running to the relational databases") == [
        "fox",
        "were",
        "run",
        "relat",
        "databas",
    ]


def test_english_has_lucene_s_33_stop_words():
    assert len(STOP_WORDS) == 33
    assert build("english").terms(" ".join(sorted(STOP_WORDS)).upper()) == []


def test_english_reads_other_scripts_as_multilingual_does():
    text = "계약서를 東京タワー 🚀"
    assert build("english").terms(text) == build("multilingual").terms(text)


def test_korean_keeps_content_morphemes_in_dictionary_form():
    terms = build("korean").terms("3월에 K팝 가수가 New York에서 아름다운 노래를 불렀다.")
    assert terms == ["3", "월", "k", "팝", "가수", "new", "york", "아름답", "노래", "부르"]


def test_korean_terms_hold_no_blank():
    for text in SAMPLES:
        assert all(term and not re.search(r"\s", term) for term in build("korean").terms(text))


def test_korean_without_its_extra_names_the_command(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(ConfigError, match=wording(option_needs_package("analyzer=korean"), install_extra("korean"))):
        builders.korean()


def test_whitespace_changes_nothing_but_the_blanks():
    assert build("whitespace").terms(" The, 계약서를\n3월\u3000ＡＢ\t") == ["The,", "계약서를", "3월", "ＡＢ"]


@pytest.mark.parametrize("option", OPTIONS)
def test_analyzers_serve_many_threads_at_once(option):
    """PyStemmer's objects must not be shared by threads; analyzers are."""
    analyzer = build(option)
    words = [f"{text} running{number} 노래를{number} databases" for number in range(30) for text in SAMPLES]
    expected = [analyzer.terms(text) for text in words]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(analyzer.terms, words)) == expected


@pytest.mark.parametrize("option", ["multilingual", "english", "whitespace"])
def test_analyzers_can_be_sent_to_another_process(option):
    analyzer = build(option)
    assert pickle.loads(pickle.dumps(analyzer)).terms(SAMPLES[0]) == analyzer.terms(SAMPLES[0])


def _digest(option: str) -> str:
    return sha256(canonical_json([build(option).terms(text) for text in SAMPLES]))


@pytest.mark.parametrize("option", OPTIONS)
def test_analyzer_output_is_bound_to_its_code_version(option):
    """When this fails, raise the builder's code version, then write its new digest into the golden file."""
    version = getattr(builders, option).code_version
    assert json.loads(GOLDEN.read_text())[option] == {"code_version": version, "digest": _digest(option)}
