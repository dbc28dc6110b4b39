"""Verdicts of an LLM judge on answers, through the stage cache.

    faithfulness    answers to answerable questions, by the passages of the prompt
    correctness     answers to questions with reference answers, by these

The judge is called only where there is something to judge. A failed query fails in both. An abstention on an answerable
question fails in correctness; in faithfulness it has no verdict, since it makes no statement (`answered` counts it). A
question without an answer counts in `abstained` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from ragloom.assembly import Assembly
from ragloom.cache.stages.stage_entries import CachedStage
from ragloom.config.config import Config
from ragloom.core.gold import Query
from ragloom.core.prompt_and_reply import ending_note, finish_reason_of, has_failed
from ragloom.core.records import canonical_json, sha256
from ragloom.core.usage import collect_usage
from ragloom.errors import ServiceError
from ragloom.evaluation.metrics import llm_judge
from ragloom.evaluation.metrics.llm_judge import Messages, Verdict
from ragloom.evaluation.query_cache import described
from ragloom.evaluation.query_outcome import QueryOutcome, usage_of
from ragloom.query.citations.abstention import abstains

VERDICT_CODE = 2
"""Increase it when replies to the same messages change: cached replies become misses."""


@dataclass(frozen=True)
class AnswerJudge:
    """Judge of answers. Thread-safe.

    Attributes:
        assembly: of the config.
        names: requested metrics of `ragloom.core.metric_names.JUDGED`.
    """

    assembly: Assembly
    names: Sequence[str]

    def key(self) -> dict[str, Any]:
        """Return the cache key of verdicts, without the messages.

        The messages (instruction, question, answer, passages or reference answers) name the item: configs with equal
        answers share the verdict, and never differ by the variance of the judge.
        """
        return {"code": VERDICT_CODE, "judge": judge_json(self.assembly.config)}

    def judge(self, unit: CachedStage, query: Query, outcome: QueryOutcome) -> QueryOutcome:
        """Add the verdicts on the answer to a query.

        A failed request gives no verdict and is not cached: the next run repeats it. A malformed reply is cached as any
        other: repeating until the reply fits would choose the verdict.

        Raises:
            ConfigError: the judge's key or model is refused.
        """
        verdicts: dict[str, Verdict] = {}
        used: dict[str, Any] = {}
        for name in self.names:
            request = judge_request(name, query, outcome)
            if isinstance(request, Verdict):
                verdicts[name] = request
            elif request is not None:
                verdicts[name], used[name] = self._verdict(unit, request)
        return replace(outcome, verdicts=verdicts, judging=used)

    def _verdict(self, unit: CachedStage, messages: Messages) -> tuple[Verdict, dict[str, Any]]:
        try:
            value = unit.get_or_compute(item_name(messages), lambda: self._reply(messages))
        except llm_judge.NoReply as error:
            return Verdict(None, f"no reply: {error}"), {}
        return llm_judge.verdict(str(value["reply"])), value["usage"]

    def _reply(self, messages: Messages) -> dict[str, Any]:
        roles = (MessageRole.SYSTEM, MessageRole.USER)
        chat = [ChatMessage(role=role, content=text) for role, text in zip(roles, messages, strict=True)]
        try:
            with collect_usage() as usage:
                reply = self.assembly.judge.chat(chat)
        except ServiceError as error:
            raise llm_judge.NoReply(error.problems[0]) from None
        if has_failed(reason := finish_reason_of(reply.message)):
            raise llm_judge.NoReply(f"{ending_note(reason)}")
        return {"reply": reply.message.content or "", "usage": usage_of(usage)}


def item_name(messages: Messages) -> str:
    """Return the cache name of a reply: the digest of its messages."""
    return sha256(canonical_json(messages))


def judge_json(config: Config) -> dict[str, Any]:
    """Describe the judge; verdicts of different judges are not compared."""
    return {**described(config, "judge"), "server": config.tree["judge"].get("base_url")}


def judge_request(name: str, query: Query, outcome: QueryOutcome) -> Messages | Verdict | None:
    """Return the judge's messages, a free verdict, or None if inapplicable."""
    if query.answerable is False or (name == "correctness" and not query.answers):
        return None
    if outcome.error is not None or outcome.answer is None:
        return Verdict(False, "the question failed")
    text, passages = outcome.answer.text, outcome.answer.passages
    if name == "faithfulness":
        return None if abstains(text) else llm_judge.faithfulness(query.text, text, passages)
    if abstains(text):
        return Verdict(False, "it says that there is no answer, and there is one")
    return llm_judge.correctness(query.text, text, query.answers)
