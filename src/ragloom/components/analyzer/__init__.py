"""Builders of the conf group `analyzer`: text to search terms for BM25."""

from typing import TYPE_CHECKING

from ragloom.config.builder_keys import code_version
from ragloom.errors import require

if TYPE_CHECKING:
    from ragloom.components.analyzer.base import Analyzer


@code_version(1)
def multilingual() -> "Analyzer":
    """Build the analyzer of folded words and bigrams of Hangul, Han, kana."""
    from ragloom.components.analyzer.multilingual_analyzer import Multilingual

    return Multilingual()


@code_version(1)
def english() -> "Analyzer":
    """Build the analyzer for English: stems without stop words."""
    from ragloom.components.analyzer.english_analyzer import English

    return English()


@code_version(1, depends_on="kiwipiepy")
def korean() -> "Analyzer":
    """Build the analyzer for Korean: content morphemes.

    Raises:
        ConfigError: the extra `korean` is not installed.
    """
    kiwipiepy = require("kiwipiepy", extra="korean", option="analyzer=korean")
    from ragloom.components.analyzer.korean_analyzer import Korean

    return Korean(kiwipiepy)


@code_version(1)
def whitespace() -> "Analyzer":
    """Build the analyzer that splits at white space and changes nothing."""
    from ragloom.components.analyzer.base import Whitespace

    return Whitespace()
