"""Names of the built-in tokenizers, known without loading one."""

from __future__ import annotations

TIKTOKEN_NAMES = ("cl100k_base", "o200k_base")
"""Encodings whose tables llama-index-core ships, so that they work offline [37]."""
UTF8_MAX = 4
"""Bytes of the longest UTF-8 character; every token of a byte-level tokenizer has at least one byte."""
