"""Abstentions: phrases for "no answer" in English and Korean.

An answer abstains when its first sentence says so, apologies aside, and nothing after it takes that back. A sentence
that goes on with "but" and an answer is an answer.
"""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile(r"[ \t]*\[\d{1,6}(?:[ \t]*,[ \t]*\d{1,6})*\]")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]*_]*\s+|\n+")
_SHORT = ((r"\bcan(?:'t|not)\b", "can not"), (r"n't\b", " not"), (r"\bi'm\b", "i am"), (r"\bi've\b", "i have"))
_LONGEST = 400  # characters of a sentence that says it: a longer one says something else as well

_SOURCES = (
    r"(?:(?:the|these|this|those|any of the|none of the|your|my)? ?(?:provided|given|supplied|available|above|"
    r"retrieved|numbered|source|reference)? ?(?:documents?|passages?|contexts?|texts?|sources?|materials?|"
    r"excerpts?|articles?|information|documentation|content|knowledge base)"
    r"(?: (?:provided|given|supplied|available|above|i have))?)"
)
_FACT = r"(?:information|answers?|details?|data|mention|evidence|indication|reference|statement|passages?|documents?)"
_GIVEN = (
    r"(?:found|available|given|provided|mentioned|stated|specified|contained|included|determined|answered|known|"
    r"present|discussed|addressed|described|in|from|clear|disclosed|supported)"
)
_SAY = (
    r"(?:answer|contain|mention|provide|specify|state|say|include|give|address|cover|indicate|discuss|have|explain|"
    r"describe|list|tell|offer|reveal|disclose|support|talk about|speak of|seem|appear|"
    r"directly|explicitly|specifically)"
)
_OPENING = re.compile(
    r"(?:(?:(?:i am|we are) )?(?:sorry|afraid)|(?:i |we )?apologi[sz]e|my apologies|unfortunately|regrettably|well|"
    r"answer(?=:)"
    rf"|(?:based on|according to|from|in|given|judging by|within|after reviewing|having reviewed|using) "
    rf"{_SOURCES}(?: alone| only)?"
    r"|죄송합니다만|죄송하지만|죄송합니다|안타깝게도|유감스럽게도|아쉽게도|답변?(?=:))"
    r"(?: to say)?(?:, but| but| that)?[,:.!]?\s*"
)
_ENGLISH = [
    r"(?:i|we)(?: (?:really|simply|honestly))? (?:do|did|can|could|am|are|would|was|were|have)(?: not)(?: \w+)?? "
    r"(?:know|say|tell|answer|determine|find|sure|able|confirm|provide|locate|see|certain|have|give|found|enough|aware|"
    r"definitively|confidently|identify)\b.*",
    r"(?:i|we) (?:can not|am unable|are unable|was unable|were unable|have no|lack|found no|find no|see no)\b.*",
    r"(?:idk|dunno|no idea|unknown|unanswerable|unclear|n/?a|none|no answer|not answerable|can not answer|"
    r"can not say|unable to answer|insufficient (?:information|context|data)|not enough (?:information|context|data)|"
    r"no (?:relevant )?(?:information|data|context|passages?|documents?))",
    rf"there (?:is|are|was|were)(?: not)? ?(?:no|any|not enough|enough|insufficient|nothing)\b[^,;]*?\b{_FACT}\b.*",
    rf"there (?:is|was) nothing in {_SOURCES}\b.*",
    rf"{_SOURCES} (?:do|does|did|can|could|is|are) not (?:\w+ly )?(?:{_SAY}|{_GIVEN}|enough|sufficient|able)\b.*",
    rf"{_SOURCES} (?:can not|lacks?|says? nothing|contains? no(?:thing)?|has no|have no|provides? no|gives? no|"
    r"makes? no mention|is silent|are silent|is insufficient|are insufficient|mentions? no(?:thing)?|fails? to)\b.*",
    rf"(?:none|neither|nothing)(?: of| in) {_SOURCES} (?:\w+ly )?\w+.*",
    r"(?:this|the|that|your) (?:question|answer|information|detail)s?(?: to (?:this|that|the|your) question)? "
    rf"(?:can|could|is|was|are|does|do|did) not(?: be)?(?: \w+ly)? (?:{_GIVEN}|{_SAY})\b.*",
    rf"it (?:is|was)(?: not | un)(?:\w+ly )?{_GIVEN}\b.*",
    r"it is (?:unclear|unknown)\b.*",
    rf"it (?:can not|could not) be {_GIVEN}\b.*",
    rf"no (?:\w+ )?{_FACT}(?: (?:about|on|for|regarding|to|of) [^,;]*?)? "
    rf"(?:is|are|was|were|can be|could be) (?:\w+ly )?{_GIVEN}\b.*",
    rf"not {_GIVEN}\b(?: {_GIVEN})?(?: in| by| from)?(?: {_SOURCES})?",
]
_NONE_KO = r"(?:없|못\s?했|못\s?합|않|아니|모르|부족|불가)"
_SOURCES_KO = (
    r"(?:제공된|주어진|위의?|이|해당|제시된|검색된|참고)?\s*"
    r"(?:문서|문단|자료|본문|지문|문맥|내용|텍스트|정보|글|단락|컨텍스트)(?:들)?"
)
_SAID_KO = (
    r"(?:언급|기재|명시|설명|제시|기술|서술|제공|수록|기록|포함|확인|언급이|설명이|나와|나오|적혀|쓰여|나타나|다루|담겨|"
    r"들어|찾을|답|알 수|존재|밝히|밝혀)"
)
_KOREAN = [
    r"(?:저(?:는|도)|잘|그것은|그건|정확히는|정확한 답은|그 답은|답은|이 질문의 답은|.{0,30}에 대해서는?)?\s*(?:잘\s*)?"
    r"(?:모르겠|모릅니다|모른다|모르는|몰라요?|모르지)\w*",
    r".{0,60}알\s?수(?:는|가)?\s?없\w*",
    r".{0,80}(?:답변?|대답|답)(?:을|를|은|는|도|이|가)?\s*(?:해\s?|할\s?|드릴\s?|하기|드리기|제공할\s?|찾을\s?|찾지|구할\s?|확인할\s?|하지|"
    rf"알 수)?.{{0,12}}(?:수\s?)?(?:가|는)?\s*{_NONE_KO}\w*",
    rf"{_SOURCES_KO}(?:에는|에서는|에서|에|만으로는|으로는|로는|은|는|이|가|의 내용만으로는)\s.{{0,120}}"
    rf"{_SAID_KO}.{{0,20}}{_NONE_KO}\w*",
    rf".{{0,60}}{_SOURCES_KO}(?:에는|에서는|에서|에|만으로는|으로는|로는)\s.{{0,80}}{_SAID_KO}.{{0,20}}{_NONE_KO}\w*",
    rf"{_SOURCES_KO}(?:에는|에서는|에서|에|만으로는|으로는|로는)\s.{{0,100}}{_NONE_KO}\w*",
    r"(?:.{0,60}(?:에\s?대한|관련된?|관한|필요한|충분한|해당)\s*)?(?:정보|내용|언급|설명|근거|기록|자료|문서|문단)"
    rf"(?:은|는|이|가|을|를|도)?\s*.{{0,30}}{_NONE_KO}\w*",
    r"(?:정보|근거|자료)\s?(?:부족|없음)|알 수 없음|해당 없음|답변? ?불가|답 없음|확인 불가",
]
_SAYS_NONE = re.compile("|".join(f"(?:{form})" for form in (*_ENGLISH, *_KOREAN)), re.DOTALL)
_TAKEN_BACK = re.compile(
    r"[,;—–-]?\s*\b(?:but|however|though|although|nevertheless|nonetheless|except that)\b"
    r"|(?:하지만|그러나|다만|그렇지만)"
    r"|(?:지만|으나|는데|은데),?\s"
)
_OF_COURSE = re.compile(r"(?:if you|please|feel free|let me know|you may|consider|추가|더 |다른 |도움|필요하|문의)")


def abstains(answer: str) -> bool:
    """Return whether an answer is empty or abstains.

    Args:
        answer: its `[1]` marks are not its words.
    """
    answer = re.sub(r"[ \t]+", " ", answer)
    text = unicodedata.normalize("NFC", _MARKS.sub("", answer)).replace("’", "'").lower()
    for short, long in _SHORT:
        text = re.sub(short, long, text)
    sentences = [" ".join(part.split()).strip(" .。!！\"'“”*_#>-") for part in _SENTENCE_END.split(text)]
    sentences = [bare for sentence in sentences if (bare := _without_opening(sentence))]
    if not sentences:
        return not any(map(str.isalnum, text))
    first, *rest = sentences
    return _says_none(first) and not any(_is_answer(sentence) for sentence in rest)


def _without_opening(sentence: str) -> str:
    while match := _OPENING.match(sentence):
        sentence = sentence[match.end() :]
    return sentence


def _says_none(sentence: str) -> bool:
    return len(sentence) <= _LONGEST and bool(_SAYS_NONE.fullmatch(sentence)) and not _TAKEN_BACK.search(sentence)


def _is_answer(sentence: str) -> bool:
    """Return whether a sentence takes an abstention back."""
    return bool(_TAKEN_BACK.match(sentence)) and not _OF_COURSE.search(sentence)
