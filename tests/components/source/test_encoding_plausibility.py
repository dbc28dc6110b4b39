"""Scores of characters by their neighbours, computed by hand."""

import pytest

from ragloom.components.source.encoding_plausibility import frequent_hangul, plausibility


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("plain", 1.0),
        ("a ä b", 0.8),  # a separate word
        ("räd", 1.0),  # next to a letter
        ("x Ä y", 0.7),  # a capital alone
        ("räÄ", (1.0 - 0.95 + 0.05) / 2),  # small before a capital: 0.05, and a capital behind a letter: 0.05
        ("rä1", 0.1),  # a letter next to a digit
        ("œuf", 1.0 - 0.55),  # a rare letter
        ("þa", 1.0 - 0.2),  # an Icelandic letter
        ("äöüß", (0.7 + (0.7 - 0.05) + (0.7 - 0.05) + 0.7) / 4),  # the inner ones between two others
        ("ä°", ((0.7 - 0.4) + 0.1) / 2),  # a letter next to a sign, and a sign behind a letter
        ("5²", 0.9),
        ("²", 0.05),
        ("-½", 0.9),
        ("x½5", 0.6),
        ("x½y", 0.1),
        ("¿Qu", 0.9),
        ("a¿ ", 0.1),
        ("2×3", 0.9),
        ("§ 3", 0.9),
        ("x§ 3", 0.1),
    ],
)
def test_western_score_is_the_mean_over_non_ascii_characters(text: str, score: float) -> None:
    assert plausibility(text, "latin-1") == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "encoding", "score"),
    [
        ("да", "cp1251", 0.4),  # each has one Cyrillic neighbour
        ("дом", "cp1251", (0.4 + 0.9 + 0.4) / 3),
        ("aд ", "cp1251", 0.05),
        ("доМ", "cp1251", (0.4 + 0.9 - 0.5) / 3),  # a capital behind a small letter
        ("한", "cp949", 1.0),
        ("a한b", "cp949", 0.05),
        ("漢", "cp949", 0.65),  # a Chinese character
        ("漢한", "cp949", (0.8 + 1.0) / 2),
        ("Ж", "cp949", 0.4),  # neither Hangul nor Chinese, no common sign
        ("か", "cp932", 1.0),
        ("漢", "cp932", 0.5),
        ("かp漢", "cp932", (1.0 + 0.1) / 2),
        ("ｶ", "cp932", 0.15),  # half width
        ("。", "cp932", 0.6),
        ("！", "cp932", 0.6),  # full width
        ("Ω", "cp932", 0.1),
        ("か漢", "cp932", (1.0 + 0.8) / 2),
        ("的", "gb18030", 1.0),
        ("癌", "gb18030", 0.55),  # of the first level of GB 2312
        ("丐", "gb18030", 0.15),  # of the second
        ("癌p", "gb18030", 0.1),
        ("龜", "big5", 0.55),
        ("丏", "big5", 0.15),
        ("。", "gb18030", 0.6),
        ("！", "gb18030", 0.6),
        ("Ω", "gb18030", 0.2),
        ("p的q", "gb18030", 0.05),
    ],
)
def test_scores_of_other_scripts(text: str, encoding: str, score: float) -> None:
    assert plausibility(text, encoding) == pytest.approx(score)


def test_frequent_hangul_are_counted_among_all_hangul() -> None:
    assert frequent_hangul("이 뷁다 x!") == (3, 2 / 3)
    assert frequent_hangul("abc") == (0, 0.0)
