"""What trials ask of paid models beside embedding documents, at most. Calls nothing; knows parts by their interfaces.

Questions that are to be embedded are counted. Of a prompt that is not known yet the passages count as many tokens as
they may have, and a reply as many as it may have. What cache and stages have is left out, and what trials share
counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragloom.benchmark import timed
from ragloom.config import build
from ragloom.evaluation.found import Answer, Asked, answer_from
from ragloom.evaluation.judging import Judging, case, item_name
from ragloom.evaluation.questions import Questions, described
from ragloom.measures import judged
from ragloom.provider import sending_nothing
from ragloom.records import canonical_json, sha256
from ragloom.values import needs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragloom.config import Config
    from ragloom.gold import Query
    from ragloom.stages import Stages
    from ragloom.trial import Trial
    from ragloom.vector_store.interface import Index

_PLACE_TOKENS = 64  # of number, document and heading before a passage
_UNKNOWN = Asked(answer=Answer("?"))  # stands for what is not answered yet


@dataclass
class Spending:
    """What one model is asked for one purpose, at most.

    Attributes:
        what: `questions`, `reranking`, `answers` or `verdicts`.
        input_tokens, output_tokens: sent and replied.
    """

    what: str
    model: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def usd(self, prices: Mapping[str, Any]) -> float | None:
        """Prices it; None where the model has no price."""
        if (price := prices.get(self.model)) is None:
            return None
        return float(self.input_tokens * price["input"] + self.output_tokens * price["output"]) / 1_000_000


@dataclass
class Forecast:
    """Adds up trials.

    Attributes:
        spent: by (purpose, model).
        unknown: what is asked of parts that say nothing of what they cost, in words.
    """

    spent: dict[tuple[str, str], Spending] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, trial: Trial, stages: Stages, index: Index | None, place: str) -> None:
        """Adds what a trial asks that no trial before it asks.

        Args:
            index: in step; None where there is none yet.
            place: names the index and where it is.
        """
        config, queries = trial.config, trial.dataset.queries()
        by_text = {query.text: query for query in queries}
        asked = None if index is None else Questions(trial.assembly, index, trial.need)
        ranked = stages.values("rankings", asked.ranking_key(), map(sha256, by_text)) if asked else {}
        answers = stages.values("answers", asked.answer_key(), map(sha256, by_text)) if asked else {}
        texts = list(by_text)
        again = [text for many in config.tree["latency"]["concurrency"] for text in self._again(config, texts)]
        rankings = canonical_json([place, trial.method()])
        with sending_nothing():
            new = [text for text in texts if sha256(text) not in ranked]
            self._questions(trial, new, again)
            self._reranking(trial, [*self._once(rankings, new), *again])
            if config.tree["answers"]:
                written = canonical_json([rankings, described(config, "prompt"), _at_server(config, "llm")])
                new = [text for text in texts if sha256(text) not in answers]
                self._answers(trial, [*self._once(written, new), *again])
                known = {text: answer_from(answers[sha256(text)]) for text in texts if sha256(text) in answers}
                self._verdicts(trial, stages, queries, known, written)

    def _again(self, config: Config, texts: Sequence[str]) -> list[str]:
        """Lists the questions of one pass for latency, which finds nothing in a cache."""
        total = config.tree["latency"]["questions"]
        return timed(texts, total) if total else []

    def _once(self, unit: str, texts: list[str]) -> list[str]:
        """Leaves the texts that were not asked for with the same key before."""
        names = {text: sha256(canonical_json([unit, text])) for text in texts}
        new = [text for text in texts if names[text] not in self._seen]
        self._seen.update(names.values())
        return new

    def _questions(self, trial: Trial, new: list[str], again: list[str]) -> None:
        needed = [*needs_of(trial.config.builder("retriever")), *needs_of(trial.config.builder("reranker"))]
        if "embedding" not in needed or not (new or again):
            return
        embedding = trial.assembly.embedding
        if not self._paid("embedding", trial, embedding):
            return
        sent = [embedding.query_prefix + text for text in new]
        if embedding.cache is not None:
            known = embedding.cache.known(sent)
            sent = [text for text, there in zip(sent, known, strict=True) if not there]
        sent = self._once(canonical_json(_at_server(trial.config, "embedding")), sent)
        sent += [embedding.query_prefix + text for text in again]
        self._count("questions", embedding.model_name, len(sent), sum(embedding.count_tokens(sent)) if sent else 0)

    def _reranking(self, trial: Trial, texts: list[str]) -> None:
        needed = needs_of(trial.config.builder("reranker"))
        if "llm" not in needed or not texts:
            return
        llm = trial.assembly.llm
        if not self._paid("llm", trial, llm):
            return
        reranker = build(trial.config, "reranker", llm=llm) if needed == ["llm"] else None
        asks = getattr(reranker, "asks", None)
        if asks is None:
            self._say(f"what reranker={trial.config.choices.get('reranker')} asks of the LLM")
            return
        for text in texts:
            for messages, passages in asks(text, trial.config.tree["retriever"]["top_k"]):
                most = llm.bound(messages)
                self._count("reranking", llm.model, 1, most.input + passages, most.output)

    def _answers(self, trial: Trial, texts: list[str]) -> None:
        llm = trial.assembly.llm
        if not texts or not self._paid("llm", trial, llm):
            return
        prompt, passages = build(trial.config, "prompt"), _passages(trial.config)
        for text in texts:
            most = llm.bound([message.content or "" for message in prompt.fill(text, []).messages])
            self._count("answers", llm.model, 1, most.input + passages, most.output)

    def _verdicts(
        self, trial: Trial, stages: Stages, queries: Sequence[Query], known: dict[str, Answer], written: str
    ) -> None:
        names = judged(trial.config.tree["metrics"])
        judge = trial.assembly.judge
        if not names or not self._paid("judge", trial, judge):
            return
        judging = Judging(trial.assembly, names)
        unit = canonical_json(judging.key())
        passages, reply = _passages(trial.config), _longest(trial)
        for query in queries:
            for name in names:
                asked = Asked(answer=known[query.text]) if query.text in known else _UNKNOWN
                messages = case(name, query, asked)
                if not isinstance(messages, tuple):
                    continue
                most = judge.bound(messages)
                if asked is not _UNKNOWN:
                    item = item_name(messages)
                    if stages.values("verdicts", judging.key(), [item]) or not self._once(unit, [item]):
                        continue
                    self._count("verdicts", judge.model, 1, most.input, most.output)
                elif self._once(unit + written, [f"{name} {query.id}"]):
                    shown = passages if name == "faithfulness" else 0
                    self._count("verdicts", judge.model, 1, most.input + shown + reply, most.output)

    def _paid(self, group: str, trial: Trial, part: Any) -> bool:
        """Says whether a part costs money; one that does not say is named."""
        paid = getattr(part, "paid", None)
        if paid is None and getattr(trial.config.builder(group), "writes_text", True):
            self._say(f"what {group}={trial.config.choices.get(group)} is asked")
        return bool(paid)

    def _say(self, text: str) -> None:
        if text not in self.unknown:
            self.unknown.append(text)

    def _count(self, what: str, model: str, requests: int, input: int, output: int = 0) -> None:
        if requests:
            found = self.spent.setdefault((what, model), Spending(what, model))
            found.requests += requests
            found.input_tokens += input
            found.output_tokens += output


def _at_server(config: Config, group: str) -> list[Any]:
    return [described(config, group), config.tree[group].get("base_url")]


def _passages(config: Config) -> int:
    """Returns the tokens of all passages in a prompt, at most."""
    chunking, most = config.values("chunking"), int(config.tree["prompt"]["max_context_tokens"])
    if "tokenizer" not in chunking or "chunk_size" not in chunking:
        return most  # sizes are not counted in tokens
    return min(most, int(config.tree["reranker"]["top_n"] * (chunking["chunk_size"] + _PLACE_TOKENS)))


def _longest(trial: Trial) -> int:
    """Returns the tokens of an answer, at most: of an LLM that extracts, those of the passages."""
    llm = trial.assembly.llm
    return int(llm.bound([]).output) if getattr(llm, "paid", False) else _passages(trial.config)
