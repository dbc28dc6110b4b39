"""Smallest token limit that holds any character."""

from __future__ import annotations

from ragloom.core.tokenizer_names import TIKTOKEN_NAMES, UTF8_MAX


def smallest_limit(name: str) -> int:
    """Return the fewest tokens that hold any single character.

    A tokenizer is loaded only where its name does not say it, since every config is checked by this.

    Raises:
        ConfigError: as `tokenizers.load`.
    """
    if name in TIKTOKEN_NAMES:
        return UTF8_MAX
    from ragloom.core.tokenizers import load

    return load(name).max_char_tokens
