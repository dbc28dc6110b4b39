"""Builders of the conf group `prompt`: chat messages within a token budget."""

from typing import TYPE_CHECKING, Annotated, Literal

from ragloom.config.builder_keys import CONTENT, Name, Positive, code_version

if TYPE_CHECKING:
    from ragloom.components.prompt.base import Prompt


@code_version(1)
def cited(
    *,
    language: Literal["auto", "en", "ko"],
    max_context_tokens: Positive,
    tokenizer: Annotated[Name, CONTENT],
    instruction_en: Name,
    instruction_ko: Name,
) -> "Prompt":
    """Ask for an answer with citation and verbatim quote per claim."""
    return _prompt(language, max_context_tokens, tokenizer, instruction_en, instruction_ko, numbered=True)


@code_version(1)
def plain(
    *,
    language: Literal["auto", "en", "ko"],
    max_context_tokens: Positive,
    tokenizer: Annotated[Name, CONTENT],
    instruction_en: Name,
    instruction_ko: Name,
) -> "Prompt":
    """Ask for an answer from the passages and for no citations."""
    return _prompt(language, max_context_tokens, tokenizer, instruction_en, instruction_ko, numbered=False)


def _prompt(
    language: Literal["auto", "en", "ko"], most: int, tokenizer: str, en: str, ko: str, numbered: bool
) -> "Prompt":
    from ragloom.components.prompt.base import Prompt

    return Prompt({"en": en.strip(), "ko": ko.strip()}, language, most, tokenizer, numbered)
