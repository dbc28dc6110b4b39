"""The Korean analyzer: Kiwi's content morphemes; needs the extra `korean`."""

from __future__ import annotations

from typing import Any

from ragloom.components.analyzer.base import Analyzer
from ragloom.components.analyzer.multilingual_analyzer import normalize

# Sejong tags as Kiwi prints them (github.com/bab2min/kiwipiepy, "품사 태그"): nouns and dependent nouns, numerals, verb
# and adjective stems, roots, adverbs, foreign words, Han characters, numbers, e-mail and web addresses, tags, emoji.
_CONTENT = "NNG NNP NNB NR VV VA XR MAG SL SH SN W_URL W_EMAIL W_HASHTAG W_MENTION W_SERIAL W_EMOJI"
CONTENT_TAGS = frozenset(_CONTENT.split())
"""The parts of speech that become terms; particles, endings, pronouns, affixes and punctuation do not."""


class Korean(Analyzer):
    """Content morphemes in dictionary form, without an ending.

    Other scripts are cut as Kiwi does.

    Args:
        kiwipiepy: the module, imported by the builder, since only an extra installs it.
    """

    def __init__(self, kiwipiepy: Any) -> None:
        self._kiwi = kiwipiepy.Kiwi()

    def terms(self, text: str) -> list[str]:
        """Return the content morphemes of a text, folded."""
        terms: list[str] = []
        # Kiwi receives the folded text, so that full-width and half-width, composed and decomposed read the same.
        for token in self._kiwi.tokenize(normalize(text)):
            # `VA-I` is an irregular `VA`; a dictionary entry may hold a blank, a term may not.
            if token.tag.partition("-")[0] in CONTENT_TAGS:
                terms.extend(normalize(token.form).split())
        return terms
