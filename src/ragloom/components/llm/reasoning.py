"""Separation of reasoning from a reply's text, whole or in pieces."""

from __future__ import annotations

import re

from ragloom.core.text_normalization import join_surrogates

Tags = tuple[str, str]
"""What opens and closes reasoning, such as `<think>` and `</think>`."""


class Separator:
    """Separator of reasoning and text.

    Reasoning is the text between the tags, where the first one begins a line, and everything ahead of an unopened
    closing tag: prompts of some models end with the opening tag. An empty opening tag says that a reply begins
    with reasoning. A tag, or a character, may be spread over several pieces.

    Args:
        tags: None separates nothing.

    Attributes:
        text, reasoning: so far. Text turns into reasoning at an unopened closing tag.
    """

    def __init__(self, tags: Tags | None) -> None:
        self.text = self.reasoning = ""
        self._open, self._close = tags or ("", "")
        self._patterns = [re.compile(re.escape(tag), re.IGNORECASE) for tag in tags or () if tag]
        self._inside = tags is not None and not self._open
        self._stripping = False  # the white space behind a closing tag
        self._blank = ""  # the white space that the text begins with: it may stand ahead of an opening tag
        self._held = ""  # what may be the beginning of a tag
        self._half = ""  # the first half of a surrogate pair

    def take(self, piece: str) -> str:
        """Add a piece; return the text that it completes."""
        piece = self._half + piece
        self._half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        self._held += join_surrogates(piece[: len(piece) - len(self._half)])
        new = ""
        while match := self._next_tag():
            ahead, self._held = self._held[: match.start()], self._held[match.end() :]
            if match[0].lower() == self._close.lower():
                self.reasoning += ahead if self._inside else self.text + self._blank + ahead
                self.text, new = (self.text, new) if self._inside else ("", "")
                self._inside, self._stripping, self._blank = False, True, ""
            else:
                new += self._shown(ahead)
                self._inside = not self.text.rpartition("\n")[2].strip()
                new += "" if self._inside else self._shown(match[0])
                self._blank = ""
        keep = self._begun()
        ready, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return new + self._flushed(ready)

    def end(self) -> str:
        """End the reply; return the text that was held back."""
        rest, self._held = self._held + join_surrogates(self._half), ""
        self._half = ""
        new = self._flushed(rest)
        self.text, self._blank = self.text + self._blank, ""
        return new

    def _next_tag(self) -> re.Match[str] | None:
        patterns = self._patterns[-1:] if self._inside else self._patterns
        matches = [match for pattern in patterns if (match := pattern.search(self._held))]
        return min(matches, key=lambda match: match.start(), default=None)

    def _begun(self) -> int:
        """Count the characters at the end that may begin a tag."""
        tags = (self._close,) if self._inside else (self._open, self._close)
        lengths = [
            length
            for tag in tags
            for length in range(1, len(tag))
            if self._held[-length:].lower() == tag[:length].lower()
        ]
        return max(lengths, default=0)

    def _flushed(self, ready: str) -> str:
        if not self._inside:
            return self._shown(ready)
        self.reasoning += ready
        return ""

    def _shown(self, words: str) -> str:
        if self._stripping:
            words = words.lstrip()
            self._stripping = not words
        if not self.text and self._patterns:
            self._blank, words = self._blank + words, ""
            if not self._blank.strip():
                return ""
            self._blank, words = "", self._blank
        self.text += words
        return words
