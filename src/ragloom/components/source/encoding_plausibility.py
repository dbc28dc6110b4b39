"""Plausibility of a decoded text, by its characters and their neighbours.

Bytes of one encoding are often valid in another. The wrong one gives characters in unlikely places: an inverted
exclamation mark behind a digit, a capital behind a small letter, a Chinese character within a Latin word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_SAMPLE = 5_000
"""Non-ASCII characters used for the score."""
_NON_ASCII = re.compile(r"[^\0-\x7f]")
# Frequent characters: nine of ten in Korean, six of ten in Chinese texts. From KorQuAD, translated programs.
# fmt: off
_KOREAN = frozenset(
    "이다에는을의니지가로하를시수은한기서사스일자인정어대리고습없아으트용파해도음위나제부있합할전그라상보오년문드만과터들했되명여장국치주중원않소적성모션경작선프구크었표무실동된면세화데조와비름함마바공개행"
    "입미게우당유력디식형단요연설거버키내업계패영값타월옵신진출재방것러레호르안령야후번법록본회태체열현반간목발며메임관블통결포못였분민변환최브테류때코려건교추두역료학잘필생김복노속카산군등더알각히루또았렉"
    "운종래초권너받베른던처페항언천차토매색강저커직금확배준예불능황참절남읽격새집청활증엇까말물외약티린올줄근접검백십범심택박양든규투누독랜병같석창럼람감점플판퍼향피쓰따평림쪽템링총째네달져몇클삼끝살승텍램"
)
_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象"
    "完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运字语符标选置项输列效错示录存未器值号包误参型模显除引序失支配令息组库户图索败密称码省查持需签读您版否换"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實"
    "日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員"
    "解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象"
    "完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運檔語案字選示項列標元輸錯效稱號誤顯未存除錄訊組引值符置令模支型失料否鍵版碼預啟敗印亞執器寫請參讀單包需鑰態"
)
# fmt: on
_AT_DIGITS = frozenset("°½¼¾€£¥¢‰µ")
_RARE_LETTERS = frozenset("ŒœŠšŽžŸƒˆ˜ÿ")
_ICELANDIC = frozenset("ÐÞðþ")
_WESTERN_SIGNS: tuple[tuple[str, Callable[[str, str], bool], float, float], ...] = (
    # signs, whether their neighbours are usual, score there, score elsewhere
    ("“‘„‚¿¡", lambda left, right: not left.isalnum() and right.isalnum(), 0.9, 0.1),
    ("«»‹›", lambda left, right: any(kind(left) != kind(right) for kind in (str.isalnum, str.isascii)), 0.9, 0.3),
    ("”", lambda left, right: not left.isspace() and not right.isalnum(), 0.9, 0.1),
    ("±×÷", lambda left, right: left.isascii() and right.isascii(), 0.9, 0.1),
    ("²³¹ºª", lambda left, right: left.isascii() and (left.isalnum() or left in ")."), 0.9, 0.05),
    ("§", lambda left, right: not left.isalnum() and (right.isspace() or right.isdigit() or right == "§"), 0.9, 0.1),
    ("–—…•·’©®™†‡¶\u00a0\u00ad", lambda left, right: left.isascii() or right.isascii(), 0.8, 0.4),
)

Scorer = Callable[[str, str, str], float]
"""Scores a character between its neighbours from 0 (wrong) to 1 (common)."""


def plausibility(text: str, encoding: str) -> float:
    """Score a text from 0 to 1: mean of its non-ASCII characters."""
    scorer = _SCORERS[encoding]
    scores = [scorer(*neighbours) for neighbours in _non_ascii(text)]
    return sum(scores) / len(scores) if scores else 1.0


def frequent_hangul(text: str) -> tuple[int, float]:
    """Return the number of Hangul syllables and the share of frequent ones."""
    hangul = [character for _, character, _ in _non_ascii(text) if _is_hangul(character)]
    return len(hangul), sum(character in _KOREAN for character in hangul) / max(1, len(hangul))


def _non_ascii(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield non-ASCII characters with their neighbours; blanks at the ends."""
    for number, match in enumerate(_NON_ASCII.finditer(text)):
        if number == _SAMPLE:
            return
        at = match.start()
        yield text[at - 1] if at else " ", match.group(), text[at + 1] if at + 1 < len(text) else " "


def _is_hangul(character: str) -> bool:
    return "가" <= character <= "힣"


def _is_lower_latin(character: str) -> bool:
    return "a" <= character <= "z"


def _is_ascii_letter(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _score_korean(before: str, character: str, behind: str) -> float:
    if _is_lower_latin(before) and _is_lower_latin(behind):
        return 0.05  # in a Latin word
    first, second = character.encode("cp949")
    near = _is_hangul(before) or _is_hangul(behind)
    if _is_hangul(character):
        if second >= 0xA1 and first >= 0xB0:
            lonely = _is_ascii_letter(before) and _is_ascii_letter(behind)
            return 0.3 if lonely else 1.0 if character in _KOREAN else 0.55
        if near:
            return 0.6  # a rare syllable
        return 0.05 if _is_ascii_letter(before) or _is_ascii_letter(behind) else 0.5
    if first >= 0xCA:  # Chinese characters
        return 0.8 if near else 0.3 if _is_lower_latin(before) or _is_lower_latin(behind) else 0.65
    if first in (0xA1, 0xA2, 0xA7, 0xA8, 0xA9):  # signs and units
        return 0.9 if near or before.isdigit() or before.isspace() or before in "([{,;:/" else 0.6
    return 0.4


def _score_western(before: str, character: str, behind: str) -> float:
    if character.isalpha() and character not in "µºª":
        return _score_western_letter(before, character, behind)
    if character in _AT_DIGITS:
        near = before.isspace() or before.isdigit() or before in "([-+,;"
        return 0.9 if near and behind.isascii() else 0.6 if behind.isdigit() else 0.1
    for signs, is_usual, usual, unusual in _WESTERN_SIGNS:
        if character in signs:
            return usual if is_usual(before, behind) else unusual
    return 0.1


def _score_western_letter(before: str, character: str, behind: str) -> float:
    """Score a letter by the case of its neighbours.

    A small letter may stand behind any letter, a capital only at the beginning or among capitals.
    """
    if before.isdigit() or behind.isdigit():
        return 0.1
    near = _is_ascii_letter(before) or _is_ascii_letter(behind)
    signs = [sign for sign in (before, behind) if not sign.isascii() and not sign.isalpha()]
    score = (1.0 if near else 0.8 if character.islower() and before == behind == " " else 0.7) - 0.4 * len(signs)
    wrong_case = before.isalpha() and not before.isupper() if character.isupper() else behind.isupper()
    if wrong_case:
        return 0.05
    if not before.isascii() and not behind.isascii() and before.isalpha() and behind.isalpha():
        score -= 0.05  # three in a row
    return max(0.05, score - 0.55 * (character in _RARE_LETTERS) - 0.2 * (character in _ICELANDIC))


def _score_cyrillic(before: str, character: str, behind: str) -> float:
    if not "\u0410" <= character <= "\u044f" and character not in "Ёё":
        return 0.4 if character in "«»–—“”„…№ іїєІЇЄ" else 0.05
    if _is_ascii_letter(before) or _is_ascii_letter(behind):
        return 0.05
    if character.isupper() and before.isalpha() and not before.isupper():
        return -0.5  # hardly ever
    return (0.2, 0.4, 0.9)[sum("\u0400" <= sign <= "\u045f" for sign in (before, behind))]


def _score_japanese(before: str, character: str, behind: str) -> float:
    if _is_lower_latin(before) and _is_lower_latin(behind):
        return 0.05
    if "\u3041" <= character <= "\u30fe":
        return 1.0
    if "\uff61" <= character <= "\uff9f":
        return 0.15
    if "\u4e00" <= character <= "\u9fff":
        if _is_ascii_letter(before) or _is_ascii_letter(behind):
            return 0.1
        kana = any("\u3041" <= sign <= "\u30fe" for sign in (before, behind))
        return 0.8 if kana else 0.5
    return 0.6 if "\u3000" <= character <= "\u303f" or character > "\uff00" else 0.1


def _chinese_scorer(frequent: frozenset[str], encoding: str, common: range) -> Scorer:
    def scorer(before: str, character: str, behind: str) -> float:
        if _is_lower_latin(before) and _is_lower_latin(behind):
            return 0.05
        if character in frequent:
            return 1.0
        if "\u4e00" <= character <= "\u9fff":
            if _is_ascii_letter(before) or _is_ascii_letter(behind):
                return 0.1
            return 0.55 if character.encode(encoding)[0] in common else 0.15
        return 0.6 if "\u3000" <= character <= "\u303f" or character > "\uff00" else 0.2

    return scorer


_SCORERS: dict[str, Scorer] = {
    "cp949": _score_korean,
    "cp932": _score_japanese,
    "euc_jp": _score_japanese,
    "gb18030": _chinese_scorer(_SIMPLIFIED, "gb18030", range(0xB0, 0xD8)),
    "big5": _chinese_scorer(_TRADITIONAL, "big5", range(0xA4, 0xC7)),
    "cp1251": _score_cyrillic,
    "latin-1": _score_western,
    "cp1252": _score_western,
}
ENCODINGS = tuple(name for name in _SCORERS if name not in ("latin-1", "cp1252"))
"""Encodings tried in addition to a Western one."""
