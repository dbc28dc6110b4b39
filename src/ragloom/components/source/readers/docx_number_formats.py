"""Number formats of Word (ECMA-376 Part 1, 17.18.59, ST_NumberFormat)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_MOST_REPEATED = 30
"""Repetitions of a letter in one number (aaa...); further numbers are decimal, to bound their length."""
_ROMAN_SIGNS = ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")
_ROMAN_VALUES = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
# fmt: off
_ENGLISH = [
    "", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ENGLISH += ["-".join(filter(None, (ten, one))) for ten in _TENS for one in _ENGLISH[:10]]
_ORDINAL_ENDS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}
_KOREAN_ONES = ["", "하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉"]
_KOREAN_TENS = ["", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔"]
# fmt: on
_AIUEO = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
_IROHA = "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセスン"
_HALF_WIDTH = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFF9E)}
_STEMS, _BRANCHES = "甲乙丙丁戊己庚辛壬癸", "子丑寅卯辰巳午未申酉戌亥"
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_RUSSIAN = "абвгдежзиклмнопрстуфхцчшщыэюя"
_HAN = "〇一二三四五六七八九"

Numeral = Callable[[int], str]


def numeral(value: int, format: str) -> str | None:
    """Format a number from 0; None for an unknown format.

    Numbers without a sign in the format are decimal, as in Word.
    """
    if format in ("none", "bullet"):
        return ""
    rule = _RULES.get(format)
    if rule is None:
        return None
    return (rule(value) if value > 0 or format in _WITH_ZERO else "") or str(value)


def padded_number(value: int, pattern: str) -> str | None:
    """Format a number by a pattern like `001, 002, ...`, else None."""
    first = pattern.partition(",")[0].strip()
    return str(value).zfill(min(len(first), 10)) if first.isdecimal() and first.isascii() else None


def _repeat(letters: str) -> Numeral:
    """Count a, b, ... z, aa, bb, ..."""

    def rule(value: int) -> str:
        times, at = divmod(value - 1, len(letters))
        return letters[at] * (times + 1) if times < _MOST_REPEATED else ""

    return rule


def _cycle(signs: str) -> Numeral:
    return lambda value: signs[(value - 1) % len(signs)]


def _once(signs: str) -> Numeral:
    return lambda value: signs[value - 1] if value <= len(signs) else ""


def _span(first: int, count: int) -> Numeral:
    return _once("".join(chr(first + n) for n in range(count)))


def _digits(signs: str) -> Numeral:
    return lambda value: "".join(signs[int(digit)] for digit in str(value))


def _half_width(text: str) -> str:
    return "".join(_HALF_WIDTH.get(character, character) for character in text)


def roman_numeral(value: int) -> str:
    """Write a number up to 29,999 in capital Roman numerals."""
    shown, left = "", value if value < 1000 * _MOST_REPEATED else 0
    for size, sign in zip(_ROMAN_VALUES, _ROMAN_SIGNS, strict=True):
        shown += sign * (left // size)
        left %= size
    return shown


def _counting(digits: str, units: str, *, one: bool = False, zero: str = "") -> Numeral:
    """Count in East Asian style, with units up to ten thousand.

    Args:
        digits: zero to nine.
        units: ten, hundred, thousand, ten thousand.
        one: whether a one before a unit is written.
        zero: the sign for a gap between digits, as in 一百零一.
    """

    def below(value: int) -> str:
        text, gap = "", False
        for place in (3, 2, 1, 0):
            digit = value // 10**place % 10
            if not digit:
                gap = bool(text)
                continue
            ones = one or digit > 1 or not place or (place > 1 and bool(zero)) or (bool(zero) and bool(text))
            text += (zero if gap else "") + (digits[digit] if ones else "") + (units[place - 1] if place else "")
            gap = False
        return text

    def rule(value: int) -> str:
        high, low = divmod(value, 10_000)
        if high >= 10_000:
            return ""
        high_text = (below(high) if high > 1 or one or zero else "") + units[3] if high else ""
        return high_text + (zero if high_text and 0 < low < 1000 else "") + below(low)

    return rule


def _below_hundred(digits: str, ten: str) -> Numeral:
    """Count with ten up to 99, then digit by digit."""
    counted, spelled = _counting(digits, f"{ten}百千萬"), _digits(digits)
    return lambda value: counted(value) if value < 100 else spelled(value)


def _korean_legal(value: int) -> str:
    return _KOREAN_TENS[value // 10] + _KOREAN_ONES[value % 10] if value < 100 else _KOREAN(value)


def _cardinal(value: int) -> str:
    if value >= 10_000:
        return ""
    counts = ((value // 1000, "thousand"), (value // 100 % 10, "hundred"))
    parts = [f"{_ENGLISH[count]} {unit}" for count, unit in counts if count]
    return " ".join(filter(None, (*parts, _ENGLISH[value % 100]))).capitalize()


def _ordinal_word(value: int) -> str:
    words = _cardinal(value)
    at = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[at:].lower()
    end = _ORDINAL_ENDS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return (words[:at] + end).capitalize() if words else ""


def _ordinal(value: int) -> str:
    teen = value % 100 in (11, 12, 13)
    return f"{value}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


_KOREAN = _counting(" 일이삼사오육칠팔구", "십백천만")
_RULES: dict[str, Numeral] = {
    **dict.fromkeys(("decimal", "decimalHalfWidth"), str),
    "decimalZero": lambda value: f"{value:02d}",
    "numberInDash": lambda value: f"- {value} -",
    "hex": lambda value: f"{value:X}",
    "upperRoman": roman_numeral,
    "lowerRoman": lambda value: roman_numeral(value).lower(),
    "upperLetter": _repeat(_LATIN.upper()),
    "lowerLetter": _repeat(_LATIN),
    "russianUpper": _repeat(_RUSSIAN.upper()),
    "russianLower": _repeat(_RUSSIAN),
    "chicago": _repeat("*†‡§"),
    "ordinal": _ordinal,
    "cardinalText": _cardinal,
    "ordinalText": _ordinal_word,
    "ganada": _cycle("가나다라마바사아자차카타파하"),
    "chosung": _cycle("ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ"),
    "koreanDigital": _digits("영일이삼사오육칠팔구"),
    "koreanDigital2": _digits("零一二三四五六七八九"),
    "koreanCounting": _KOREAN,
    "koreanLegal": _korean_legal,
    **dict.fromkeys(("ideographDigital", "japaneseDigitalTenThousand"), _digits(_HAN)),
    "taiwaneseDigital": _digits("○一二三四五六七八九"),
    "japaneseCounting": _counting(_HAN, "十百千万"),
    "japaneseLegal": _counting("零壱弐参四伍六七八九", "拾百阡萬", one=True),
    **dict.fromkeys(("chineseCounting", "taiwaneseCounting"), _below_hundred("○一二三四五六七八九", "十")),
    **dict.fromkeys(("chineseCountingThousand", "taiwaneseCountingThousand"), _counting(_HAN, "十百千万", zero="零")),
    "chineseLegalSimplified": _counting("零壹贰叁肆伍陆柒捌玖", "拾佰仟万", one=True, zero="零"),
    "ideographLegalTraditional": _counting("零壹貳參肆伍陸柒捌玖", "拾佰仟萬", one=True, zero="零"),
    "ideographTraditional": _once(_STEMS),
    "ideographZodiac": _once(_BRANCHES),
    "ideographZodiacTraditional": lambda value: _STEMS[(value - 1) % 10] + _BRANCHES[(value - 1) % 12],
    "ideographEnclosedCircle": _span(0x3280, 10),
    **dict.fromkeys(("decimalEnclosedCircle", "decimalEnclosedCircleChinese"), _span(0x2460, 20)),
    "decimalEnclosedParen": _span(0x2474, 20),
    "decimalEnclosedFullstop": _span(0x2488, 20),
    **dict.fromkeys(("decimalFullWidth", "decimalFullWidth2"), _digits("０１２３４５６７８９")),
    "aiueo": _cycle(_half_width(_AIUEO)),
    "aiueoFullWidth": _cycle(_AIUEO),
    "iroha": _cycle(_half_width(_IROHA)),
    "irohaFullWidth": _cycle(_IROHA),
    "arabicAlpha": _repeat("أبتثجحخدذرزسشصضطظعغفقكلمنهوي"),
    "arabicAbjad": _repeat("أبجدهوزحطيكلمنسعفصقرشتثخذضظغ"),
    "hebrew2": _repeat("אבגדהוזחטיכלמנסעפצקרשת"),
    "thaiLetters": _repeat("กขคงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ"),
    "thaiNumbers": _digits("๐๑๒๓๔๕๖๗๘๙"),
    "hindiNumbers": _digits("०१२३४५६७८९"),
}
_WITH_ZERO = frozenset(
    ["decimal", "decimalHalfWidth", "decimalZero", "decimalFullWidth", "decimalFullWidth2", "numberInDash", "hex"]
)
