"""Has answers judged, or finds what a judge said before. Knows which answer is judged by what, and no LLM.

    faithfulness    what was answered to questions that have an answer: by the passages that the prompt held
    correctness     questions with right answers in words: by these

Nobody is asked where there is nothing to judge. A question that failed fails in both. An abstention where there is an
answer fails in correctness; in faithfulness it has no verdict, since it says nothing that passages could bear out
(`answered` counts it). A question without an answer counts in `abstained`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragloom.cache.stages import Unit
from ragloom.core.gold import Query
from ragloom.core.prompt_blocks import ending_note, finish_reason_of, has_failed
from ragloom.core.records import canonical_json, sha256
from ragloom.core.usage import collect_usage
from ragloom.errors import ServiceError
from ragloom.evaluation.cached_queries import described
from ragloom.evaluation.metrics import llm_judge
from ragloom.evaluation.metrics.llm_judge import Messages, Verdict
from ragloom.evaluation.query_results import Asked, usage_of
from ragloom.query.citations.abstention import abstains

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.config.config import Config

VERDICT_CODE = 2
"""Raise it when the way from messages to a reply changes: replies kept before are not used then."""


@dataclass(frozen=True)
class Judging:
    """Judges answers. Safe to be used by several threads.

    Attributes:
        assembly: whose judge.
        names: metrics that are asked for, of `ragloom.core.metric_names.JUDGED`.
    """

    assembly: Assembly
    names: Sequence[str]

    def key(self) -> dict[str, Any]:
        """All that decides a verdict beside what the judge is sent.

        What it is sent names the item: instruction, question, answer, and passages or right answers. So a verdict is of
        exactly this answer, and configs that answer alike share it and never differ by a judge's mood.
        """
        return {"code": VERDICT_CODE, "judge": judge_json(self.assembly.config)}

    def judged(self, unit: Unit, query: Query, asked: Asked) -> Asked:
        """Adds the verdicts on a question's answer.

        A service that fails gives no verdict, and none is kept: the next run asks again. A reply that is no verdict is
        kept as any other: it is what this judge says of this answer, and who asks until the reply fits chooses it.

        Raises:
            ConfigError: the judge's key or model is refused.
        """
        verdicts: dict[str, Verdict] = {}
        used: dict[str, Any] = {}
        for name in self.names:
            found = case(name, query, asked)
            if isinstance(found, Verdict):
                verdicts[name] = found
            elif found is not None:
                verdicts[name], used[name] = self._asked(unit, found)
        return replace(asked, verdicts=verdicts, judging=used)

    def _asked(self, unit: Unit, messages: Messages) -> tuple[Verdict, dict[str, Any]]:
        used: dict[str, Any] = {}

        def ask(messages: Messages) -> str:
            value = unit.item(item_name(messages), lambda: self._made(messages))
            used.update(value["usage"])
            return str(value["reply"])

        return llm_judge.judge(messages, ask), used

    def _made(self, messages: Messages) -> dict[str, Any]:
        from llama_index.core.base.llms.types import ChatMessage, MessageRole

        roles = (MessageRole.SYSTEM, MessageRole.USER)
        said = [ChatMessage(role=role, content=text) for role, text in zip(roles, messages, strict=True)]
        try:
            with collect_usage() as usage:
                reply = self.assembly.judge.chat(said)
        except ServiceError as error:
            raise llm_judge.NoReply(error.problems[0]) from None
        if has_failed(reason := finish_reason_of(reply.message)):
            raise llm_judge.NoReply(f"{ending_note(reason)}")
        return {"reply": reply.message.content or "", "usage": usage_of(usage)}


def item_name(messages: Messages) -> str:
    """Names a reply by what the judge was sent."""
    return sha256(canonical_json(messages))


def judge_json(config: Config) -> dict[str, Any]:
    """Says who judges: verdicts of two judges are not compared."""
    return {**described(config, "judge"), "server": config.tree["judge"].get("base_url")}


def case(name: str, query: Query, asked: Asked) -> Messages | Verdict | None:
    """Says what the judge is asked of an answer, or the verdict where nothing has to be asked; None without either."""
    if query.answerable is False or (name == "correctness" and not query.answers):
        return None
    if asked.error is not None or asked.answer is None:
        return Verdict(False, "the question failed")
    text, passages = asked.answer.text, asked.answer.passages
    if name == "faithfulness":
        return None if abstains(text) else llm_judge.faithfulness(query.text, text, passages)
    if abstains(text):
        return Verdict(False, "it says that there is no answer, and there is one")
    return llm_judge.correctness(query.text, text, query.answers)
