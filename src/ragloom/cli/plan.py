"""A sweep's dry run: which trials, which stages they share, and what those would cost that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragloom.cli.console import OK, console, print_json, silenced_stdout
from ragloom.config.labels import label_of
from ragloom.core.records import canonical_json

if TYPE_CHECKING:
    from ragloom.assembly import Assembly
    from ragloom.cache.stages import Stages
    from ragloom.config.config import Config
    from ragloom.ingestion.dry_run import Estimate

_HOUR = 3600
_LOCAL = "what local computing takes"
BASIS = (
    "questions are counted; the passages of a prompt have at most prompt.max_context_tokens, a reply max_tokens; an "
    "LLM reranks each question once, whatever the metrics are; passes for latency are "
    "included; what is asked again after a failure is not"
)
"""What the numbers of `Plan.asked` rest on."""


@dataclass
class Plan:
    """What a sweep would do.

    Attributes:
        trials: their labels.
        stages: stage -> {units: different ones, there: of them those that are kept already}.
        indexes: the estimate of each index that has to be built or brought in step.
        asked: what models are asked for questions, rankings, answers and verdicts, at most, with its price.
        unknown: what is asked and not in the estimate, in words.
    """

    trials: list[str]
    stages: dict[str, dict[str, int]]
    indexes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def most(self) -> float | None:
        """US dollars for everything, at most; None when a price is not known, or something is not in the estimate."""
        costs = [self.dollars, *(item["cost_usd"] for item in self.asked)]
        return None if None in costs or self.unknown else float(sum(costs))

    @property
    def dollars(self) -> float | None:
        """Of embedding documents; None when a price is not known."""
        costs = [item["cost_usd"] for item in self.indexes]
        return None if None in costs else sum(costs)

    @property
    def hours(self) -> float:
        """At least, by the providers' limits per minute."""
        return sum(item["seconds_at_limits"] or 0 for item in self.indexes) / _HOUR

    @property
    def tokens(self) -> int:
        """Of documents that have to be embedded."""
        return sum(item["tokens"] for item in self.indexes)


def show_plan(configs: Sequence[Config], keys: Sequence[str]) -> int:
    """Prints what a sweep would do and cost; nothing is called and nothing is written.

    Args:
        configs: of the trials.
        keys: in which they differ.
    """
    with silenced_stdout():
        plan = planned(configs, keys)
    if configs[0].tree["output"] == "json":
        shown = {**vars(plan), "cost_usd": plan.dollars, "cost_usd_at_most": plan.most, "basis": BASIS}
        shown["unknown"] = [_LOCAL, *plan.unknown]
        print_json({"event": "plan", **shown, "hours_at_least": plan.hours, "tokens": plan.tokens})
        return OK
    screen = console()
    for label in plan.trials:
        screen.print(label, markup=False)
    screen.print(f"[bold]trials[/]    {len(plan.trials)}")
    for stage, count in plan.stages.items():
        screen.print(f"[bold]{stage:<9}[/] {count['units']} different, {count['there']} of them there already")
    screen.print(
        f"[bold]to embed[/]  {plan.tokens} tokens of documents in {len(plan.indexes)} indexes, {_price(plan.dollars)}"
    )
    for item in plan.asked:
        screen.print(f"[bold]{item['what']:<9}[/] {_asked(item)}", highlight=False)
    if plan.asked or plan.unknown:
        most = "no bound, since not all is estimated" if plan.unknown else _at_most(plan.most)
        screen.print(f"[bold]in all[/]    {most}: {BASIS}", soft_wrap=True)
    screen.print(f"[bold]hours[/]     at least {plan.hours:.2f}, by the providers' limits per minute")
    for text in (_LOCAL, *plan.unknown):
        screen.print(f"[yellow]not estimated:[/] {text}")
    screen.print("a dry run: nothing was called, and nothing was written")
    return OK


def planned(configs: Sequence[Config], keys: Sequence[str]) -> Plan:
    """Finds out what a sweep would do.

    Raises:
        ConfigError, DataError, ServiceError: a trial could not be run.
    """
    from ragloom.cli.forecast import Forecast
    from ragloom.evaluation.chunk_cache import cut_key
    from ragloom.evaluation.index_sync import found_in_step
    from ragloom.evaluation.runner import Trial, Watch
    from ragloom.providers.openai_client import sending_nothing

    stages = _stages(configs[0])
    chunks: dict[str, bool] = {}
    indexes: dict[str, bool] = {}
    rankings: dict[str, bool] = {}
    sizes: dict[str, int | None] = {}
    estimates = []
    forecast = Forecast()
    for config in configs:
        with sending_nothing(), Trial(config, stages, Watch()) as trial:
            trial.check()
            key = cut_key(trial.assembly)
            chunks[canonical_json(key)] = stages.count("chunks", key) > 0
            index = found_in_step(trial.assembly, stages)
            place = canonical_json([trial.assembly.index_name, config.public()["vector_store"]])
            if place not in indexes:
                indexes[place] = index is not None
                if index is None:
                    estimate = trial.assembly.rehearse()
                    estimates.append(_estimate(estimate, trial.assembly))
                sizes[place] = _chunks(estimate, config) if index is None else index.info.chunks
            rankings[canonical_json([place, trial.method()])] = index is not None and trial.is_ranked(index)
            forecast.add(trial, stages, index, place, sizes[place])
    counts = {
        "chunks": {"units": len(chunks), "there": sum(chunks.values())},
        "index": {"units": len(indexes), "there": sum(indexes.values())},
        "rankings": {"units": len(rankings), "there": sum(rankings.values())},
    }
    prices = trial.assembly.prices
    asked = [{**asdict(item), "cost_usd": item.usd(prices)} for item in forecast.spent.values()]
    return Plan([label_of(config, keys) for config in configs], counts, estimates, asked, forecast.unknown)


def _stages(config: Config) -> Stages:
    from ragloom.cache.stages import Stages

    kept = config.tree["stages"]
    folder = None if kept is None else Path(kept).expanduser()
    return Stages(folder if folder is not None and folder.is_dir() else None)


def _chunks(estimate: Estimate, config: Config) -> int | None:
    """Returns how many chunks an index will have that is to be brought in step; None where that is no count."""
    if estimate.guessed or estimate.summary.stopped is not None or config.tree["ingest"] == "never":
        return None
    return estimate.summary.chunks


def _estimate(estimate: Estimate, assembly: Assembly) -> dict[str, Any]:
    from ragloom.cli.render_dry_run import estimate_json

    shown = estimate_json(estimate, assembly)
    return {name: shown[name] for name in ("index", "tokens", "cost_usd", "seconds_at_limits", "index_bytes")}


def _asked(item: dict[str, Any]) -> str:
    exact = item["what"] == "questions"
    tokens = f"{item['input_tokens']} tokens" + ("" if exact else f" sent, {item['output_tokens']} replied")
    price = _price(item["cost_usd"]) if exact else _at_most(item["cost_usd"])
    return f"{item['requests']} requests to {item['model']}, {tokens}, {price}"


def _at_most(usd: float | None) -> str:
    return _price(usd) if usd is None else f"at most {_price(usd)}"


def _price(usd: float | None) -> str:
    return "unknown price" if usd is None else f"${usd:.6f}"
