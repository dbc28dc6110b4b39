"""Citations in the forms that models write: each verified where its quote is in the passage, and only there."""

import pytest

from ragloom.core.records import Chunk
from ragloom.query.citations import Cited, verify

ONE = "The frame is covered for five years from the day of purchase. Wear parts are covered for six months."
TWO = '보증은 양도할 수 없습니다. 바퀴의 보증 기간은 2년입니다. He said "yes" and left. The range is 5–10 km.'
A = "The frame is covered for five years from the day of purchase."
B = "Wear parts are covered for six months."
K = "바퀴의 보증 기간은 2년입니다."
TEXTS = {"one.md": ONE, "two.md": TWO}
CHUNKS = [Chunk(name, name, "hash", 0, len(text), text) for name, text in TEXTS.items()]


def cited(reply: str) -> Cited:
    return verify(reply, CHUNKS, TEXTS.get)


def verified(reply: str) -> list[tuple[int, str]]:
    found = cited(reply).citations
    assert all(citation.verified for citation in found), found
    return [(citation.number, citation.quote) for citation in found]


ONE_QUOTE = {
    "line below": f'Five years. [1]\n\n[1] "{A}"',
    "same line, number first": f'Five years. [1] "{A}"',
    "same line, in parentheses": f'Five years [1] ("{A}").',
    "same line, colon": f'Five years [1]: "{A}"',
    "same line, inside the brackets": f'Five years [1: "{A}"].',
    "same line, quote first": f'Five years: "{A}" [1]',
    "same line, quote first in parentheses": f'Five years ("{A}" [1]).',
    "sentence with quoted words": 'The manual says "covered for five years" [1].',
    "line below, quote first": f'Five years. [1]\n\n"{A}" [1]',
    "line below, quote first, dash": f'Five years. [1]\n\n- "{A}" — [1]',
    "line below, quote first, parentheses": f'Five years. [1]\n\n"{A}" ([1])',
    "two lines, number first": f'Five years. [1]\n\n[1]\n"{A}"',
    "two lines, number and colon first": f'Five years. [1]\n\n**[1]**:\n> "{A}"',
    "two lines, quote first": f'Five years.\n\n"{A}"\n[1]',
    "two lines, below the statement": f'Five years. [1]\n"{A}"',
    "two lines, an empty one between": f'Five years. [1]\n\n"{A}"',
    "over several lines": f'Five years. [1]\n\n[1] "{A.replace("years ", "years" + chr(10))}"',
    "blockquote": f"Five years. [1]\n\n[1]\n> {A}",
    "blockquote, number last": f"Five years.\n\n> {A} [1]",
    "blockquote, number first": f"Five years. [1]\n\n> [1] {A}",
    "without quotation marks": f"Five years. [1]\n\n[1] {A}",
    "footnote": f"Five years.[^1]\n\n[^1]: {A}",
    "italic": f"Five years. [1]\n\n[1] *{A}*",
    "italic and quoted": f'Five years. [1]\n\n[1] *"{A}"*',
    "bold and quoted": f'Five years. [1]\n\n**[1]** **"{A}"**',
    "code": f"Five years. [1]\n\n[1] `{A}`",
    "with its place": f'Five years. [1]\n\n[1] one.md, p. 3: "{A}"',
    "with its place in parentheses": f'Five years. [1]\n\n[1] (one.md): "{A}"',
    "heading": f'Five years. [1]\n\n### Quotes\n[1] "{A}"',
    "Korean heading": f'5년입니다. [1]\n\n인용:\n[1] "{A}"',
    "lenticular brackets": f'Five years.【1】\n\n【1】 "{A}"',
    "lenticular brackets with a note": f'Five years.【1†source】\n\n【1†source】 "{A}"',
    "wide brackets and digits": f'Five years.［１］\n\n［１］ "{A}"',
    "tortoise-shell brackets": f'Five years.〔1〕\n\n〔1〕 "{A}"',
    "double brackets": f'Five years. [[1]]\n\n[[1]] "{A}"',
    "Passage": f'Five years [Passage 1].\n\n[Passage 1] "{A}"',
    "Passage without brackets": f'Five years [1].\n\nPassage 1: "{A}"',
    "Source in parentheses": f'Five years (Source 1).\n\nSource 1: "{A}"',
    "문단": f'5년입니다 [문단 1].\n\n[문단 1] "{A}"',
    "출처": f'5년입니다 (출처: 1).\n\n출처 1: "{A}"',
    "number and full stop": f'Five years. [1]\n\n1. "{A}"',
    "number in parentheses": f'Five years. [1]\n\n(1) "{A}"',
    "number and parenthesis": f'Five years. [1]\n\n1) "{A}"',
    "curly quotes": f"Five years. [1]\n\n[1] “{A}”",
    "low and high quotes": f"Five years. [1]\n\n[1] „{A}“",
    "guillemets": f"Five years. [1]\n\n[1] «{A}»",
    "corner brackets": f"Five years. [1]\n\n[1] 「{A}」",
    "white corner brackets": f"Five years. [1]\n\n[1] 『{A}』",
    "single quotes": f"Five years. [1]\n\n[1] '{A}'",
    "wide quotes": f"Five years. [1]\n\n[1] ＂{A}＂",
    "omission at the ends": f'Five years. [1]\n\n[1] "...{A}..."',
    "table": f'Five years. [1]\n\n| [1] | "{A}" |',
    "only a quote": f'"{A}" [1]',
    "the same quote of two numbers": f'Five years. [1, 2]\n\n[1, 2] "{A}"',
}
SEVERAL = {
    "a line each": f'Yes. [1]\n\n[1] "{A}"\n[1] "{B}"',
    "next to each other": f'Yes. [1]\n\n[1] "{A}" "{B}"',
    "comma": f'Yes. [1]\n\n[1] "{A}", "{B}"',
    "and": f'Yes. [1]\n\n[1] "{A}" and "{B}"',
    "및": f'네. [1]\n\n[1] "{A}" 및 "{B}"',
    "omission between": f'Yes. [1]\n\n[1] "{A}" ... "{B}"',
    "below one number": f'Yes. [1]\n\n[1]\n- "{A}"\n- "{B}"',
    "numbered below one number": f'Yes. [1]\n\n[1]:\n1. "{A}"\n2. "{B}"',
    "same line as the statement": f'Yes [1] "{A}" "{B}"',
    "quotes first": f'Yes. [1]\n\n"{A}", "{B}" [1]',
    "each with its statement": f'Five years [1] "{A}". Six months [1] "{B}".',
}
TWO_NUMBERS = {
    "a line each": f'Yes. [1][2]\n\n[1] "{A}"\n[2] "{K}"',
    "numbers first on one line": f'Yes.\n\n[1] "{A}" [2] "{K}"',
    "quotes first on one line": f'Yes.\n\n"{A}" [1], "{K}" [2]',
    "with their statements": f'Five years [1] "{A}". 2년 [2] "{K}".',
    "in a sentence": f'It says "{A}" [1] and "{K}" [2].',
    "in a sentence, comma": f'It says "{A}" [1], "{K}" [2].',
    "two lines each": f'Yes.\n\n[1]\n"{A}"\n\n[2]\n"{K}"',
    "two lines each, quotes first": f'Yes.\n\n"{A}"\n[1]\n\n"{K}"\n[2]',
    "two lines each, quotes first, no empty line": f'Yes.\n\n"{A}"\n[1]\n"{K}"\n[2]',
    "table": f'Yes. [1] [2]\n\n| 1 | 2 |\n|---|---|\n| [1] | "{A}" |\n| [2] | "{K}" |',
}


@pytest.mark.parametrize("reply", ONE_QUOTE.values(), ids=ONE_QUOTE)
def test_quote_is_verified_in_the_form(reply: str) -> None:
    ((number, quote), *rest) = [(item.number, item.quote) for item in cited(reply).citations if item.verified]
    assert number == 1
    assert quote in A
    assert not rest


@pytest.mark.parametrize("reply", SEVERAL.values(), ids=SEVERAL)
def test_several_quotes_of_a_number_are_citations_of_their_own(reply: str) -> None:
    assert verified(reply) == [(1, A), (1, B)]


@pytest.mark.parametrize("reply", TWO_NUMBERS.values(), ids=TWO_NUMBERS)
def test_each_quote_goes_to_its_number(reply: str) -> None:
    assert verified(reply) == [(1, A), (2, K)]


@pytest.mark.parametrize("reply", [*ONE_QUOTE.values()], ids=ONE_QUOTE)
def test_invented_quote_is_not_verified_in_any_form(reply: str) -> None:
    for wrong in ("The frame is covered for ten years from the day of purchase.", "Wheels are covered for a century."):
        invented = reply.replace(A, wrong).replace(A.replace("years ", "years\n"), wrong)
        invented = invented.replace("covered for five years", "covered for a century")
        assert not any(item.verified for item in cited(invented).citations), cited(invented)


@pytest.mark.parametrize("reply", [*SEVERAL.values(), *TWO_NUMBERS.values()], ids=[*SEVERAL, *TWO_NUMBERS])
def test_invented_quote_among_true_ones_is_not_verified(reply: str) -> None:
    found = cited(reply.replace(A, "The frame is covered for ten years.")).citations
    assert not any(item.verified and item.quote != B and item.quote != K for item in found), found
    assert any(not item.verified for item in found)


def test_quote_of_another_passage_is_not_verified() -> None:
    assert [item.verified for item in cited(f'Five years. [2] "{A}"').citations] == [False]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (ONE_QUOTE["line below"], "Five years. [1]"),
        (ONE_QUOTE["same line, number first"], "Five years. [1]"),
        (ONE_QUOTE["same line, in parentheses"], "Five years [1]."),
        (ONE_QUOTE["same line, inside the brackets"], "Five years [1]."),
        (ONE_QUOTE["two lines, number first"], "Five years. [1]"),
        (ONE_QUOTE["two lines, below the statement"], "Five years. [1]"),
        (ONE_QUOTE["lenticular brackets"], "Five years.[1]"),
        (ONE_QUOTE["Passage"], "Five years [1]."),
        (ONE_QUOTE["문단"], "5년입니다 [1]."),
        (ONE_QUOTE["heading"], "Five years. [1]"),
        (ONE_QUOTE["sentence with quoted words"], 'The manual says "covered for five years" [1].'),
        (ONE_QUOTE["only a quote"], f'"{A}" [1]'),
        (SEVERAL["each with its statement"], "Five years [1]. Six months [1]."),
    ],
)
def test_answer_is_what_is_said_without_the_quotes_below_it(reply: str, answer: str) -> None:
    assert cited(reply).answer == answer


def test_quotes_inside_quotes_stay_whole() -> None:
    assert verified('So it was. [2]\n\n[2] "He said "yes" and left."') == [(2, 'He said "yes" and left.')]
    assert verified("So it was. [2]\n\n[2] “He said ‘yes’ and left.”".replace("‘yes’", '"yes"')) == [
        (2, 'He said "yes" and left.')
    ]


@pytest.mark.parametrize("quote", ["He said “yes” and left.", "The range is 5-10 km.", "The range is 5−10 km"])
def test_typography_of_a_quote_may_differ_from_the_documents(quote: str) -> None:
    assert verified(f"So. [2]\n\n[2] «{quote}»")[0][0] == 2


def test_full_stop_at_the_end_of_a_quote_may_be_the_replys_own() -> None:
    assert verified('Yes. [1]\n\n[1] "The frame is covered for five years."') == [
        (1, "The frame is covered for five years")
    ]


def test_gap_in_a_quote_is_not_verified() -> None:
    reply = 'Yes. [1]\n\n[1] "The frame is covered ... from the day of purchase."'
    assert [item.verified for item in cited(reply).citations] == [False]


def test_quoted_words_of_a_statement_count_only_without_a_quote_of_their_number() -> None:
    assert verified(f'The so-called "guarantee" [1] holds.\n\n[1] "{A}"') == [(1, A)]


def test_quote_may_reach_across_the_border_of_its_chunk_and_not_stand_outside() -> None:
    chunk = Chunk("c", "one.md", "hash", 10, 40, ONE[10:40])
    (citation,) = verify(f'Yes. [1]\n\n[1] "{A}"', [chunk], TEXTS.get).citations
    assert citation.verified
    assert ONE[citation.start : citation.end] == A
    (outside,) = verify(f'Yes. [1]\n\n[1] "{B}"', [chunk], TEXTS.get).citations
    assert not outside.verified


@pytest.mark.parametrize(
    "reply",
    [
        'A 5" screen [1] and a 6" stand [2].',
        "Opened in 2019 (see 3 below).",
        "In [brackets] and (2024) nothing is cited.",
        "E = mc² and 5 m² are no citations.",
    ],
)
def test_what_looks_like_a_form_and_is_none_stays_in_the_answer(reply: str) -> None:
    assert cited(reply).answer == reply
    assert not any(item.quote for item in cited(reply).citations)


def test_ranges_are_all_their_numbers() -> None:
    assert [item.number for item in cited("It is so [1-3], and so [2–4].").citations] == [1, 2, 3, 4]
