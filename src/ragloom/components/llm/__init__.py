"""Builders of the conf groups `llm` and `judge`: LLMs.

A builder's `group` opens its messages and names its usage.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import OPERATIONAL, Added, ExtraBody, HeadersEnv, Name, Positive, Seconds, code_version
from ragloom.config.key_rules import checked_by
from ragloom.providers.credentials import body_problems, link_problems

if TYPE_CHECKING:
    from ragloom.components.llm.extractive_llm import SentenceLLM, TermAnalyzer
    from ragloom.components.llm.openai_llm import OpenAIChat

Temperature = Annotated[float, Field(ge=0, le=2)]
"""0 to 2, as the protocol has it."""


# Fields in every request, and the key that sets each.
_OWN_FIELDS = {
    **{name: name for name in ("model", "temperature", "seed", "max_tokens")},
    **dict.fromkeys(("messages", "stream", "n")),
    "max_completion_tokens": "max_tokens",
    "stream_options": "stream_usage",
}

ReasoningTags = Annotated[
    Annotated[list[str], Field(min_length=2, max_length=2)] | None, Added(["<think>", "</think>"])
]
"""What opens and closes reasoning inside a reply."""

Group = Literal["llm", "judge"]
"""Whose option is built."""


def _server_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require a valid address, key name and extra body."""
    group = values["group"]
    yield from link_problems(group, values["base_url"], values["api_key_env"], values.get("headers_env"))
    yield from body_problems(group, values.get("extra_body") or {}, _OWN_FIELDS)


def _reply_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require a reply within the context window, and closed reasoning."""
    group, tags, most, window = (values[key] for key in ("group", "reasoning_tags", "max_tokens", "context_window"))
    if tags and not tags[1]:
        yield (
            f"{group}: reasoning_tags={tags} must have a closing tag; set it, as in the default [<think>, </think>], "
            "or set null"
        )
    if most is not None and most >= window:
        yield (
            f"{group}: max_tokens={most} must be less than context_window={window}, which the prompt shares; "
            f"lower {group}.max_tokens"
        )


@code_version(1)
@checked_by(_server_rule, _reply_rule)
def openai(
    group: Group,
    *,
    model: Name,
    temperature: Temperature | None,
    seed: int | None,
    max_tokens: Positive | None,
    context_window: Positive,
    reasoning_tags: ReasoningTags,
    base_url: Annotated[Name | None, OPERATIONAL],
    api_key_env: Annotated[Name, OPERATIONAL],
    timeout: Annotated[Seconds, OPERATIONAL],
    attempts: Annotated[Positive, OPERATIONAL],
    deadline: Annotated[Seconds, OPERATIONAL],
) -> "OpenAIChat":
    """Build an LLM on OpenAI's API.

    Raises:
        ConfigError: keys contradict each other, or the API key is not in the environment.
    """
    values = locals()
    from ragloom.components.llm.openai_llm import OpenAIChat

    llm = OpenAIChat(max_tokens_name="max_completion_tokens", stream_usage=True, **values)
    llm.provider.check_key()
    return llm


@code_version(1)
@checked_by(_server_rule, _reply_rule)
def openai_compatible(
    group: Group,
    *,
    base_url: Annotated[Name, OPERATIONAL],
    api_key_env: Annotated[Name | None, OPERATIONAL],
    headers_env: HeadersEnv,
    model: Name,
    temperature: Temperature | None,
    seed: int | None,
    max_tokens: Positive | None,
    max_tokens_field: Annotated[Literal["max_tokens", "max_completion_tokens"], Added("max_tokens")],
    context_window: Positive,
    system_role: Annotated[bool, Added(True)],
    reasoning_tags: ReasoningTags,
    stream_usage: Annotated[bool, OPERATIONAL],
    extra_body: ExtraBody,
    timeout: Annotated[Seconds, OPERATIONAL],
    attempts: Annotated[Positive, OPERATIONAL],
    deadline: Annotated[Seconds, OPERATIONAL],
) -> "OpenAIChat":
    """Build an LLM on any server that speaks OpenAI's protocol.

    Such as vLLM, Ollama, LM Studio, or a gateway.

    Raises:
        ConfigError: keys contradict each other, or the API key is not in the environment.
    """
    values = locals() | {"headers_env": headers_env or {}, "extra_body": extra_body or {}}
    from ragloom.components.llm.openai_llm import OpenAIChat

    llm = OpenAIChat(max_tokens_name=values.pop("max_tokens_field"), **values)
    llm.provider.check_key()
    return llm


@code_version(2)
def extractive(analyzer: "TermAnalyzer", *, max_sentences: Positive) -> "SentenceLLM":
    """Build the LLM without a model: the passages' best sentences, each cited."""
    from ragloom.components.llm.extractive_llm import SentenceLLM

    return SentenceLLM(analyzer, max_sentences=max_sentences)


extractive.writes_text = False  # type: ignore[attr-defined]
