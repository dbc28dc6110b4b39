"""Documents drawn from statistics of real ones, any number: python generated_corpus.py documents NUMBER PLACE [SEED]

    python generated_corpus.py documents 1000000 corpus.jsonl           for source=jsonl
    python generated_corpus.py documents 10000 corpus                   a folder of .txt files, for source=folder
    python generated_corpus.py questions 5000 questions.jsonl 1000000   for dataset=jsonl, over 1,000,000 documents
    python generated_corpus.py statistics [NUMBER]                      to compare with real sets

Half of the documents are English, half Korean; one in twenty is an exact copy of another under its own name. Nothing is
read, so that they are the same everywhere: lengths, words and their frequencies come from the numbers below, which were
measured on SciFact's abstracts and KorQuAD's contexts. Words are made up, but for the most frequent ones, so that an
English document has 1.4 times the tokens (cl100k_base) of a real one; Korean ones have as many.

Document i is drawn from (seed, i) alone: it is the same however many are made, and in whichever order.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

SEED = 20261130
COPIES = 0.05
"""Share of the documents that are exact copies of one before."""
KOREAN = 0.5
"""Share of the documents that are Korean, copies aside."""
RANKS = 2**19
"""Words of each language; a million documents use most of them."""
FOLDER = 1000
"""Files of a folder."""
_QUESTION_STREAM = 1 << 63
"""Added to a question's number, so that it draws nothing that a document draws."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Language:
    """What was measured of a real set.

    Attributes:
        words, sentence: mean and deviation of the logarithm of the words of a document, and of a sentence.
        repeated: share of the words that repeat an earlier one of their document, as its subject does.
        frequent: its most frequent words, in order.
        frequencies: rank -> share of all words; between two ranks, and beyond the last, log(share) is linear in
            log(rank). The last is extrapolated from the growth of the vocabulary.
    """

    code: str
    words: tuple[float, float]
    sentence: tuple[float, float]
    repeated: float
    frequent: str
    frequencies: dict[int, float]


# 5,183 SciFact abstracts: 1,097,514 words, 35,552 distinct, the vocabulary grows with the root of the text.
ENGLISH = Language(
    "en",
    words=(5.231, 0.392),
    sentence=(3.05, 0.42),
    repeated=0.2,
    frequent="the of and in to a with that for is by we was are as were from on or at this be which an these not have "
    "has our its been can between than also but after both their may it during other more two one using who had",
    frequencies={1: 0.0427, 3: 0.0342, 10: 0.00786, 30: 0.0029, 100: 0.000987, 300: 0.000416, 1000: 0.00014}
    | {3000: 3.92e-5, 10_000: 6.38e-6, 30_000: 9.1e-7, RANKS: 3e-9},
)
# 964 KorQuAD contexts: 121,186 words, 50,223 distinct; the vocabulary grows with the text to the power of .84.
KOREAN_TEXT = Language(
    "ko",
    words=(4.716, 0.346),
    sentence=(2.725, 0.5),
    repeated=0.04,
    frequent="이 있는 수 그 대한 한 대해 또한 이후 등 위해 당시 함께 같은 것을 통해 중 그러나 다른 미국 및 두 "
    "때문에 가장 그는 일본 후 때 그리고 전 하지만 첫 따라 것으로 다시 것은 모두 자신의 것이 더 위한 "
    "하는 이를 이에 이러한 그의 모든",
    frequencies={1: 0.0051, 3: 0.0042, 10: 0.0021, 30: 0.00138, 100: 0.000677, 300: 0.000256, 1000: 0.000107}
    | {3000: 4.3e-5, 10_000: 1.5e-5, RANKS: 1.5e-7},
)
_ONSETS, _VOWELS, _CODAS = "bcdfghlmnprstv", "aeiou", ("", "n", "r")
_SUFFIXES = "tion s ing ed al ment er ity ly ive"
_ENGLISH_SYLLABLES = [first + vowel + last for first in _ONSETS for vowel in _VOWELS for last in _CODAS]
# KorQuAD's syllables from the most frequent on, of those that stand inside words.
_KOREAN_SYLLABLES = (
    "이다에의는을하로고한지가서대은기를사시으인도정일해리아했라년스어자전나수과국부들그있었주장제상되게적보와위만원여선월며성"
    "트공당조중였동것명신화후비우소회면유경미민마문계영드진세러구치관개연방무모내법통단재등오거발군용터데안된히행학르교타본실"
    "반임노작천황간역할결차두던니음파표야포분김때바체태요받건려출았각생식강함프루현최직입않크권력운산판호불토금록번레카격남물"
    "또디령속설초업외키없종심까형평말매언양합약쇼청감총달처환점독박코예더집버배추범알난론승피른근래탄투특올편따책삼석같저활울변"
    "규준목브북린급람복병확졌살새악광창열즈쟁참증향란티송돌네메께질날측블든밝못온페절벌런능립많찰견됐징째베왕련검존철별워폭담"
)
_ENDINGS = (
    "의 을 를 은 는 이 가 에 로 으로 에서 과 와 도 하는 하고 하여 했고 되어 된 적인 들은 들의 까지 부터 "
    "에는 라는 으며 지만 했던"
)
_CLOSINGS = "했다 있다 되었다 하였다 이다 한다 있었다 였다 된다 었다"
_STEM_ENDINGS = 4
"""Words of one Korean stem, each with another ending."""


@dataclass(frozen=True)
class GeneratedDocument:
    """A document; `original` is the number of the one that it is a copy of, or its own."""

    number: int
    original: int
    language: str
    text: str

    @property
    def id(self) -> str:
        """Its name, in folders of a thousand."""
        return document_id(self.number)


@dataclass(frozen=True)
class GeneratedQuestion:
    """A question; its words stand in `text[start:end]` of a document that is no copy."""

    number: int
    text: str
    document: str
    start: int
    end: int


def document_id(number: int) -> str:
    """Return the name of a document: its path in a folder."""
    return f"{number // FOLDER:06}/{number:09}.txt"


def document(number: int, seed: int = SEED) -> GeneratedDocument:
    """Draw one document."""
    original = number
    draws = _Draws(seed, original)
    while original and draws.uniform() < COPIES:
        original = int(draws.uniform() * original)
        draws = _Draws(seed, original)
    language = KOREAN_TEXT if draws.uniform() < KOREAN else ENGLISH
    sentences = _sentences(language, draws)
    return GeneratedDocument(number, original, language.code, " ".join(sentences))


def documents(number: int, seed: int = SEED, first: int = 0) -> Iterator[GeneratedDocument]:
    """Draw the documents from `first` to before `number`."""
    return (document(each, seed) for each in range(first, number))


def question(number: int, of_documents: int, seed: int = SEED) -> GeneratedQuestion:
    """Draw a question: three to eight words of a sentence (or all of it), of one of the first documents."""
    draws = _Draws(seed, _QUESTION_STREAM + number)
    source = document(document(int(draws.uniform() * of_documents), seed).original, seed)
    sentences = list(re.finditer(r"[^.]+\.", source.text))
    sentence = sentences[int(draws.uniform() * len(sentences))]
    words = list(re.finditer(r"[^\s.]+", sentence[0]))
    most = min(len(words), 3 + int(draws.uniform() * 6))
    begin = int(draws.uniform() * (len(words) - most + 1))
    start, end = sentence.start() + words[begin].start(), sentence.start() + words[begin + most - 1].end()
    return GeneratedQuestion(number, source.text[start:end] + "?", source.id, start, end)


def questions(number: int, of_documents: int, seed: int = SEED) -> Iterator[GeneratedQuestion]:
    """Draw questions over the first documents."""
    return (question(each, of_documents, seed) for each in range(number))


def write_jsonl(place: Path, number: int, seed: int = SEED) -> None:
    """Write documents as JSON Lines, as `source=jsonl` reads them."""
    with place.open("w", encoding="utf-8") as file:
        for each in documents(number, seed):
            line = {"id": each.id, "text": each.text, "metadata": {"language": each.language}}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_folder(place: Path, number: int, seed: int = SEED) -> None:
    """Write documents as files, as `source=folder` reads them."""
    for each in documents(number, seed):
        path = place / each.id
        if each.number % FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_text(each.text, encoding="utf-8")


def write_questions(place: Path, number: int, of_documents: int, seed: int = SEED) -> None:
    """Write questions with their gold span, as `dataset=jsonl` reads them."""
    with place.open("w", encoding="utf-8") as file:
        for each in questions(number, of_documents, seed):
            gold = [{"document": each.document, "range": [each.start, each.end]}]
            line = {"id": f"q{each.number}", "question": each.text, "gold": gold}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


class _Draws:
    """Numbers of one document; Philox depends on nothing but its key, in any NumPy."""

    def __init__(self, seed: int, number: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, number], dtype=np.uint64))

    def uniforms(self, number: int) -> np.ndarray:
        """Draw `[number] float64` from 0 to below 1."""
        return np.asarray((self._bits.random_raw(number) >> np.uint64(11)) * 2.0**-53)

    def uniform(self) -> float:
        """Draw a number from 0 to below 1."""
        return (self._bits.random_raw() >> 11) * 2.0**-53

    def log_normal(self, mean: float, deviation: float) -> int:
        """Draw a number, 1 at least, whose logarithm is normal."""
        return max(1, round(math.exp(mean + deviation * _NORMAL.inv_cdf(max(self.uniform(), 2.0**-53)))))


def _sentences(language: Language, draws: _Draws) -> Iterator[str]:
    words = list(map(_WORDS[language.code].__getitem__, _ranks(language, draws)))
    while words:
        some = draws.log_normal(*language.sentence)
        sentence, words = words[:some], words[some:]
        if language is ENGLISH:
            sentence[0] = sentence[0].capitalize()
        else:
            sentence[-1] = _closed(sentence[-1])
        yield " ".join(sentence) + "."


def _ranks(language: Language, draws: _Draws) -> list[int]:
    number = draws.log_normal(*language.words)
    ranks: list[int] = np.searchsorted(_cumulated(language.code), draws.uniforms(number), side="right").tolist()
    repeats = draws.uniforms(number) / language.repeated
    for place in np.flatnonzero(repeats < 1).tolist():
        ranks[place] = ranks[int(repeats[place] * place)]
    return ranks


@cache
def _cumulated(code: str) -> np.ndarray:
    language = ENGLISH if code == ENGLISH.code else KOREAN_TEXT
    ranks, shares = zip(*language.frequencies.items(), strict=True)
    every = np.exp(np.interp(np.log(np.arange(1, RANKS + 1)), np.log(ranks), np.log(shares)))
    cumulated = np.cumsum(every)
    return np.asarray(cumulated[:-1] / cumulated[-1])


class _Words(dict[int, str]):
    """Rank -> word; made at its first use, after the most frequent ones."""

    def __init__(self, language: Language) -> None:
        super().__init__(enumerate(language.frequent.split()))
        self._spell = _english_word if language is ENGLISH else _korean_word

    def __missing__(self, rank: int) -> str:
        word = self[rank] = str(rank) if rank % 24 == 0 else self._spell(rank)
        return word


def _english_word(rank: int) -> str:
    """Spell a rank: the rarer, the longer."""
    base, syllables, place = len(_ENGLISH_SYLLABLES), 2, rank
    while place >= base**syllables:
        place -= base**syllables
        syllables += 1
    place = place * 7919 % base**syllables  # neighbours in rank share no syllable
    word = ""
    for _ in range(syllables):
        place, syllable = divmod(place, base)
        word += _ENGLISH_SYLLABLES[syllable]
    return word + _one_of(_SUFFIXES, rank)


def _korean_word(rank: int) -> str:
    """Spell a rank as a stem and an ending; frequent syllables come more often."""
    stem, number = divmod(rank, _STEM_ENDINGS)
    mixed = stem * 0x9E3779B97F4A7C15 % 2**64
    word = ""
    for _ in range(2 if stem < 20_000 or mixed & 1 else 3):
        mixed, draw = divmod(mixed, 1024)
        word += _KOREAN_SYLLABLES[int(len(_KOREAN_SYLLABLES) * (draw / 1024) ** 2)]
    return word + _one_of(_ENDINGS, stem + number * 7)


def _one_of(parts: str, number: int) -> str:
    """Choose one of the parts, or none of them."""
    choices = ["", *parts.split()]
    return choices[number % len(choices)]


def _closed(word: str) -> str:
    return word[:2] + _one_of(_CLOSINGS, ord(word[0]))


_WORDS = {language.code: _Words(language) for language in (ENGLISH, KOREAN_TEXT)}


def statistics(number: int) -> None:
    """Print what the numbers above were measured as."""
    for language in (ENGLISH, KOREAN_TEXT):
        texts = [each.text for each in documents(number) if each.language == language.code]
        words = np.array([len(text.split()) for text in texts])
        characters, everything = [len(text) for text in texts], re.findall(r"\w+", " ".join(texts).lower())
        sys.stdout.write(
            f"{language.code}: {len(texts)} documents, words {words.mean():.1f} (log {np.log(words).mean():.3f} "
            f"+- {np.log(words).std():.3f}), characters {np.mean(characters):.1f}, sentences "
            f"{np.mean([text.count('.') for text in texts]):.1f}; distinct of the first 10,000 and 100,000 words: "
            f"{len(set(everything[:10_000]))}, {len(set(everything[:100_000]))}\n"
        )


def main(arguments: list[str]) -> int:
    """Write what is asked for."""
    match arguments:
        case ["documents", number, place, *seed] if place.endswith(".jsonl"):
            write_jsonl(Path(place), int(number), *map(int, seed))
        case ["documents", number, place, *seed]:
            write_folder(Path(place), int(number), *map(int, seed))
        case ["questions", number, place, of_documents, *seed]:
            write_questions(Path(place), int(number), int(of_documents), *map(int, seed))
        case ["statistics", *number]:
            statistics(int(number[0]) if number else 10_000)
        case _:
            sys.stderr.write(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
