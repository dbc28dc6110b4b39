"""One reply of a server: text, reasoning, and reason for its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, TextBlock, ThinkingBlock

from ragloom.components.llm.reasoning import Separator, Tags
from ragloom.core.prompt_and_reply import NOT_SAID
from ragloom.core.text_normalization import join_surrogates
from ragloom.errors import ServiceError
from ragloom.providers.retry import Link

_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")  # DeepSeek and vLLM; OpenRouter and Ollama; others
_EXCERPT = 300  # characters of a refusal in a message


class Reply:
    """A reply, collected from a message or its pieces.

    Args:
        link: names the server in messages.
        tags: of reasoning inside the text; None without reasoning.

    Attributes:
        finish_reason: why it ended; None before the end.
    """

    def __init__(self, link: Link, tags: Tags | None) -> None:
        self.finish_reason: str | None = None
        self._link = link
        self._separator = Separator(tags)
        self._apart = ""  # reasoning that came in a separate field
        self._refusal = ""
        self._left_out: dict[str, None] = {}

    def take(self, choice: Any) -> str:
        """Add a choice or a piece; return the text completed by it."""
        # The client builds its objects unchecked, so that anything may be missing. A server that streams nothing
        # answers with a whole message where pieces are expected.
        message = _field(choice, "message") or _field(choice, "delta")
        text = self._text_of(_field(message, "content"))
        fields = (_field(message, name) for name in _REASONING_FIELDS)
        self._apart += next((field for field in fields if field and isinstance(field, str)), "")
        refusal = _field(message, "refusal")
        self._refusal += refusal if isinstance(refusal, str) else ""
        if reason := _field(choice, "finish_reason"):
            self.finish_reason = join_surrogates(str(reason))[:_EXCERPT]
        return self._separator.take(text)

    def end(self) -> str:
        """End the reply; return the text that was held back."""
        return self._separator.end()

    def response(self, raw: Any, delta: str | None = None) -> ChatResponse:
        """Return the reply so far, with reasoning as a separate block."""
        reasoning = join_surrogates(self._apart) + self._separator.reasoning.strip()
        thought = [ThinkingBlock(content=reasoning)] if reasoning else []
        why: dict[str, Any] = {"finish_reason": self.finish_reason} if self.finish_reason else {}
        if self._left_out:
            why["left_out"] = list(self._left_out)
        message = ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=[*thought, TextBlock(text=self._separator.text)],
            additional_kwargs=why,
        )
        return ChatResponse(message=message, raw=raw, delta=delta, additional_kwargs=dict(why))

    @property
    def text(self) -> str:
        """The text so far, without reasoning."""
        return self._separator.text

    def demand_text(self) -> None:
        """Raise ServiceError without text; mark a missing finish reason."""
        if self.finish_reason is None:
            self.finish_reason = NOT_SAID
        if self.text.strip():
            return
        link = self._link
        if self._refusal:
            raise ServiceError(f"{link.kind}: the model refused to answer: {join_surrogates(self._refusal)[:_EXCERPT]}")
        only = " but reasoning" if self._separator.reasoning or self._apart else ""
        how = f"; raise {link.kind}.max_tokens, which its reasoning used up" if self.finish_reason == "length" else ""
        raise ServiceError(
            f"{link.kind}: {link.place} returned a reply without text{only} (finish reason {self.finish_reason}){how}"
        )

    def _text_of(self, content: Any) -> str:
        """Read content: text, or a list of parts as Mistral sends it."""
        if isinstance(content, str):
            return content
        texts = [self._text_of_part(part) for part in content] if isinstance(content, list) else []
        return "".join(texts)

    def _text_of_part(self, part: Any) -> str:
        if isinstance(part, str):
            return part
        fields = part if isinstance(part, Mapping) else {}
        kind = str(fields.get("type") or "part without a type")
        if "think" in kind or "reason" in kind:
            self._apart += _words(fields)
        elif kind == "refusal":
            self._refusal += _words(fields)
        elif words := _words(fields.get("text", fields.get("content"))):
            return words
        elif "text" not in kind:
            self._left_out[join_surrogates(kind)[:_EXCERPT]] = None
        return ""


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _words(value: Any) -> str:
    """Join all texts of a part, whose place differs between servers."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "".join(_words(item) for name, item in value.items() if name not in ("type", "signature", "id"))
    return "".join(map(_words, value)) if isinstance(value, list) else ""
