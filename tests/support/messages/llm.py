"""Wording of the messages of an LLM and of a judge."""

from messages import ANY


def reasoning_only() -> str:
    return f"without text but reasoning {ANY}raise llm.max_tokens"


def smaller_than_window(tokens: int, window: int) -> str:
    return f"max_tokens={tokens} must be less than context_window={window}"


def reply_without_text() -> str:
    return "without text"
