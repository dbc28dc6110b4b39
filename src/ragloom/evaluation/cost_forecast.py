"""What trials ask of paid models beside embedding documents, at most. Calls nothing; knows parts by their interfaces.

Questions that are to be embedded are counted. Of a prompt that is not known yet the passages count as many tokens as
they may have, and a reply as many as it may have. What cache and stages have is left out, and what trials share
counts once where it is kept; where it is not, each trial asks anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ragloom.config.builder_keys import needs_of
from ragloom.config.config import build
from ragloom.core.metric_names import judged
from ragloom.core.pricing import cost_usd
from ragloom.core.records import canonical_json, sha256
from ragloom.evaluation.cached_queries import Questions, described
from ragloom.evaluation.judging import Judging, case, item_name
from ragloom.evaluation.latency import timed
from ragloom.evaluation.query_results import Answer, Asked, answer_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ragloom.cache.stages import Stages
    from ragloom.components.vector_store.protocols import Index
    from ragloom.config.config import Config
    from ragloom.evaluation.runner import Trial

_LABEL_TOKENS = 8  # that blank lines and a label such as "Passage 12:" add to each passage
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


@dataclass
class _Asking:
    """The texts that a trial asks, by what becomes of them.

    Attributes:
        ranked: searched and reranked.
        extended: searched further down; their ranking is kept, and not deep enough.
        timed: searched, and answered where answers are asked for, in passes for latency.
        passages: that the reranker is given, at most.
        written: answered.
    """

    ranked: list[str]
    extended: list[str]
    timed: list[str]
    passages: int
    written: list[str] = field(default_factory=list)


@dataclass
class CostForecast:
    """Adds up the requests of trials.

    Attributes:
        spent: by (purpose, model).
        unknown: what is asked and has no bound, since a part does not say what it costs, or nobody knows how often.
    """

    spent: dict[tuple[str, str], Spending] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _trials: int = 0

    def add(self, trial: Trial, stages: Stages, index: Index | None, place: str, chunks: int | None) -> None:
        """Adds what a trial asks that no trial before it asks.

        Args:
            index: in step; None where there is none yet.
            place: names the index and where it is.
            chunks: that the index has or will have, at most; None where nobody knows.
        """
        self._trials += 1
        config, queries = trial.config, trial.dataset.queries()
        asked = None if index is None else Questions(trial.assembly, index, trial.need)
        texts = list(dict.fromkeys(query.text for query in queries))
        ranked = stages.values("rankings", asked.ranking_key(), map(sha256, texts)) if asked else {}
        answers = stages.values("answers", asked.answer_key(), map(sha256, texts)) if asked else {}
        kept = config.tree["stages"]
        rankings = canonical_json([self._trials if kept is None else kept, place, trial.method()])
        shallow = [
            text for text in texts if asked and (known := ranked.get(sha256(text))) and not asked.suffices(known)
        ]
        asking = _Asking(
            ranked=self._once(rankings, [text for text in texts if sha256(text) not in ranked]),
            extended=shallow,
            timed=[text for _ in config.tree["latency"]["concurrency"] for text in _timed(config, texts)],
            passages=_least(config.tree["retriever"]["top_k"], chunks),
        )
        written = canonical_json([rankings, described(config, "prompt"), _at_server(config, "llm")])
        if config.tree["answers"]:
            asking.written = self._once(written, [text for text in texts if sha256(text) not in answers])
        self._questions(trial, asking)
        self._reranking(trial, asking)
        if config.tree["answers"]:
            self._answers(trial, [*asking.written, *asking.timed])
            known_answers = {text: answer_from(answers[sha256(text)]) for text in texts if sha256(text) in answers}
            self._verdicts(trial, stages, known_answers, written)

    def as_json(self, prices: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the upper bounds by purpose and model, with their cost.

        Args:
            prices: model -> {input, output}: US dollars per million tokens.
        """
        return [
            {**asdict(item), "cost_usd": cost_usd([(item.model, item.input_tokens, item.output_tokens)], prices)}
            for item in self.spent.values()
        ]

    def _once(self, unit: str, names: list[str]) -> list[str]:
        """Leaves what was not asked for with the same key before."""
        new = [name for name in dict.fromkeys(names) if (unit, name) not in self._seen]
        self._seen.update((unit, name) for name in new)
        return new

    def _questions(self, trial: Trial, asking: _Asking) -> None:
        needed = [*needs_of(trial.config.builder("retriever")), *needs_of(trial.config.builder("reranker"))]
        embedded = [*asking.ranked, *asking.extended]
        if "embedding" not in needed or not (embedded or asking.timed):
            return
        embedding, kept = trial.assembly.embedding, trial.assembly.keeps_vectors
        if not self._paid("embedding", trial, embedding):
            return
        sent = [embedding.query_prefix + text for text in embedded]
        if embedding.asker.cache is not None:
            known = embedding.asker.cache.contains(sent)
            sent = [text for text, there in zip(sent, known, strict=True) if not there]
        place = trial.config.tree["cache"]["path"] if kept else self._trials
        sent = self._once(canonical_json([place, _at_server(trial.config, "embedding")]), sent)
        sent += [embedding.query_prefix + text for text in asking.timed] * needed.count("embedding")
        self._count(
            "questions", embedding.asker.model_name, len(sent), sum(embedding.count_tokens(sent)) if sent else 0
        )

    def _reranking(self, trial: Trial, asking: _Asking) -> None:
        needed = needs_of(trial.config.builder("reranker"))
        texts = [*asking.ranked, *asking.timed]
        if "llm" not in needed or not texts:
            return
        llm = trial.assembly.llm
        if not self._paid("llm", trial, llm):
            return
        reranker = build(trial.config, "reranker", llm=llm) if needed == ["llm"] else None
        asks, option = getattr(reranker, "asks", None), trial.config.choices.get("reranker")
        if asks is None:
            self._say(f"what reranker={option} asks of the LLM")
            return
        for text in texts:
            windows = Counter((tuple(messages), passages) for messages, passages in asks(text, asking.passages))
            for (messages, passages), times in windows.items():
                most = llm.bound(messages)
                self._count("reranking", llm.model, times, times * (most.input + passages), times * most.output)

    def _answers(self, trial: Trial, texts: list[str]) -> None:
        llm = trial.assembly.llm
        if not texts or not self._paid("llm", trial, llm):
            return
        prompt, passages = build(trial.config, "prompt"), _passages(trial.config)
        for text in texts:
            most = llm.bound([message.content or "" for message in prompt.fill(text, []).messages])
            self._count("answers", llm.model, 1, most.input + passages, most.output)

    def _verdicts(self, trial: Trial, stages: Stages, known: dict[str, Answer], written: str) -> None:
        names, kept = judged(trial.config.tree["metrics"]), trial.config.tree["stages"]
        judge = trial.assembly.judge
        if not names or not self._paid("judge", trial, judge):
            return
        judging = Judging(trial.assembly, names)
        unit = canonical_json([self._trials if kept is None else kept, judging.key()])
        passages, reply = _passages(trial.config), self._longest(trial)
        for query in trial.dataset.queries():
            for name in names:
                asked = Asked(answer=known[query.text]) if query.text in known else _UNKNOWN
                messages = case(name, query, asked)
                if not isinstance(messages, tuple):
                    continue
                most, item = judge.bound(messages), item_name(messages)
                if asked is not _UNKNOWN:
                    if not stages.values("verdicts", judging.key(), [item]) and self._once(unit, [item]):
                        self._count("verdicts", judge.model, 1, most.input, most.output)
                elif self._once(unit + written, [item]):
                    shown = passages if name == "faithfulness" else 0
                    self._count("verdicts", judge.model, 1, most.input + shown + reply, most.output)

    def _longest(self, trial: Trial) -> int:
        """Returns the tokens of an answer, at most: of an LLM that extracts, those of the passages."""
        llm = trial.assembly.llm
        if self._paid("llm", trial, llm):
            return int(llm.bound([]).output)
        if getattr(trial.config.builder("llm"), "writes_text", True):
            self._say(f"how long the answers of llm={trial.config.choices.get('llm')} are, which the judge reads")
        return _passages(trial.config)

    def _paid(self, group: str, trial: Trial, part: Any) -> bool:
        """Says whether a part costs money that can be bounded; one that does not say is named."""
        paid, bounded = getattr(part, "paid", None), group == "embedding" or hasattr(part, "bound")
        if (paid is None or (paid and not bounded)) and getattr(trial.config.builder(group), "writes_text", True):
            self._say(f"what {group}={trial.config.choices.get(group)} is asked")
        return bool(paid) and bounded

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


def _timed(config: Config, texts: Sequence[str]) -> list[str]:
    """Lists the questions of one pass for latency, which finds nothing in a cache."""
    total = config.tree["latency"]["questions"]
    return timed(texts, total) if total else []


def _least(count: int, chunks: int | None) -> int:
    return count if chunks is None else min(count, chunks)


def _passages(config: Config) -> int:
    """Returns the tokens of all passages in a prompt, or before the judge, at most."""
    return int(config.tree["prompt"]["max_context_tokens"] + _LABEL_TOKENS * config.tree["reranker"]["top_n"])
