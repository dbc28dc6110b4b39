"""What a comparison of run folders says, and refuses to say."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from load_tools import result
from messages import wording
from messages.benchmark import as_benchmark_writes_it, timed_differently, times_of_benchmark, too_few_timed
from messages.comparison import (
    baseline_stays,
    best_not_tested,
    better_than,
    better_than_every_other,
    corrected_for,
    counted_as_zero,
    damaged_run,
    groups_for_split,
    more_differences,
    must_share,
    no_clear_winner,
    no_split,
    not_a_run,
    nothing_shown,
    nothing_tested,
    others_not_as_good,
    p_below,
    questions_differ,
    questions_needed,
    runs_of_one_config,
    same_score,
    taken_for_baseline,
    too_few_groups,
    two_configs_needed,
    unknown_baseline,
    unknown_metric,
    value_missing,
)
from messages.config import did_you_mean
from ragloom.comparison import Comparison, compare
from ragloom.comparison.next_steps import advice
from ragloom.comparison.recommendation import select
from ragloom.comparison.report import as_json, sections, shortened
from ragloom.config.config import load
from ragloom.errors import ConfigError, DataError
from ragloom.evaluation.benchmark.benchmark_file import save_results
from run_folders import METRIC, write

N = 200
BETTER, EQUAL = "chunking=paragraph", "retriever=dense"


def scores(seed: int, gain: float = 0.0, count: int = N) -> list[float]:
    """Scores between 0 and 1, half of them 0, whose difficulty all seeds share."""
    ease, own = np.random.default_rng(100).normal(size=count), np.random.default_rng(seed).normal(0, 0.6, count)
    level = ease + own + gain
    return [round(float(value), 6) for value in np.where(level > 0, np.minimum(1, level / 2), 0)]


def settings(**changed: Any) -> Any:
    (config,) = load([])
    return {**config.tree["comparison"], "metric": METRIC, "resamples": 2000, **changed}


def compared(*folders: Path, **changed: Any) -> Comparison:
    return compare(folders, settings(**changed))


def sentences(found: Comparison) -> str:
    return "\n".join(found.verdict.sentences)


def said(found: Comparison) -> str:
    return " ".join(" ".join(section.lines) for section in sections(found))


def test_the_better_config_is_named_with_its_interval_and_the_right_sign(tmp_path: Path) -> None:
    base, good = write(tmp_path / "base", scores(1)), write(tmp_path / "good", scores(2, 0.5), BETTER)
    gain = float(np.mean(scores(2, 0.5)) - np.mean(scores(1)))
    for folders in ((base, good), (good, base)):
        found = compared(*folders)
        (finding,) = found.verdict.findings
        assert found.runs[found.verdict.winner].name == "good"  # type: ignore[index]
        assert found.verdict.sentences[0].startswith(better_than("paragraph", "fixed") + " by ")
        assert f"{gain:.3f}".removeprefix("0") in found.verdict.sentences[0]
        better = 1 if found.labels[finding.pair[0]] == "paragraph" else -1
        assert better * finding.difference == pytest.approx(gain)
        assert min(better * finding.low, better * finding.high) > 0


def test_equal_configs_have_no_clear_winner_and_the_questions_that_would_settle_it(tmp_path: Path) -> None:
    found = compared(write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER))
    assert found.verdict.winner is None
    assert found.verdict.sentences[0].startswith(no_clear_winner() + ": ")
    (finding,) = found.verdict.findings
    assert questions_needed(finding.needed, f"now {N}") in found.verdict.sentences[0]
    assert finding.needed is not None
    assert finding.needed > N
    assert found.choice.recommended is None


def test_a_named_baseline_is_tested_against_each_other_and_corrected_for_them(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "base", scores(1)),
        write(tmp_path / "good", scores(2, 0.6), BETTER),
        write(tmp_path / "same", scores(3), EQUAL),
        write(tmp_path / "bad", scores(4, -0.6), "chunking=recursive"),
    ]
    found = compared(*runs, baseline="base")
    names = [run.name for run in found.runs]
    assert found.verdict.plan == "baseline"
    assert {names[finding.pair[0]] for finding in found.verdict.findings} == {"good", "same", "bad"}
    assert {names[finding.pair[1]] for finding in found.verdict.findings} == {"base"}
    assert sorted(finding.p for finding in found.verdict.findings)[0] * 3 == pytest.approx(
        min(finding.adjusted for finding in found.verdict.findings)
    )
    assert names[found.verdict.winner] == "good"  # type: ignore[index]
    assert {names[row] for row in found.verdict.beaten} == {"bad", "base"}
    assert "Holm over 3" in said(found)


def test_more_than_two_configs_without_baseline_are_split_and_tested_once_on_the_other_half(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "base", scores(1)),
        write(tmp_path / "good", scores(2, 0.6), BETTER),
        write(tmp_path / "same", scores(3), EQUAL),
    ]
    found = compared(*runs)
    verdict, names = found.verdict, [run.name for run in found.runs]
    assert verdict.plan == "split"
    assert [tuple(names[row] for row in finding.pair) for finding in verdict.findings] == [("good", "base")]
    assert verdict.findings[0].p == verdict.findings[0].adjusted
    assert len(found.table.rows) == N
    assert abs(verdict.queries - N / 2) <= 1
    good = names.index("good")
    means = (verdict.dev[good] * (N - verdict.queries) + verdict.test[good] * verdict.queries) / N
    assert means == pytest.approx(found.table.means[good])
    titles = [section.title for section in sections(found)]
    assert "Tests (test half)" in titles
    assert all("half" in title or "all questions" in title for title in titles[1:] if title)


def test_the_baseline_of_a_split_is_the_baseline_experiment_wherever_it_is_given(tmp_path: Path) -> None:
    (config,) = load(["reranker=mmr"])
    runs = [
        write(tmp_path / "a", scores(1)),
        write(tmp_path / "b", scores(2, 0.5), BETTER),
        write(tmp_path / "c", scores(3), "reranker=mmr", choices={**config.choices, "experiment": "baseline_x"}),
    ]
    for folders in (runs, runs[::-1]):
        found = compared(*folders)
        assert found.runs[found.verdict.baseline].name == "c"  # type: ignore[index]
    found = compared(*runs[:2], write(tmp_path / "d", scores(4), EQUAL))
    assert found.runs[found.verdict.baseline].name == "a"  # type: ignore[index]
    assert taken_for_baseline() in said(found)


def test_nothing_is_tested_when_the_baseline_is_the_best_of_the_dev_half(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "a", scores(1, 0.6)),
        write(tmp_path / "b", scores(2), BETTER),
        write(tmp_path / "c", scores(3), EQUAL),
    ]
    found = compared(*runs)
    assert found.verdict.findings == []
    assert nothing_tested() in found.verdict.sentences[0]
    assert found.verdict.winner is None


def test_under_twenty_groups_windows_are_resampled_and_the_verdict_says_so(tmp_path: Path) -> None:
    groups = [f"corpus {at % 5}" for at in range(N)]
    runs = [
        write(tmp_path / "a", scores(1), groups=groups),
        write(tmp_path / "b", scores(2, 0.9), BETTER, groups=groups),
        write(tmp_path / "c", scores(3), EQUAL, groups=groups),
    ]
    found = compared(*runs)
    assert found.verdict.plan == "pairs"
    assert len(found.verdict.findings) == 3
    assert found.table.windowed
    assert found.verdict.groups == 20
    assert no_split(5, 20) in said(found)
    with pytest.raises(ConfigError, match=wording(groups_for_split(20))):
        compared(*runs, plan="split")


def test_windows_follow_the_positions_of_the_gold_where_the_folders_say_them(tmp_path: Path) -> None:
    groups, places = ["one"] * 40, list(range(40))
    random.Random(0).shuffle(places)
    record = {"groups": groups, "positions": places}
    found = compared(
        write(tmp_path / "a", scores(1, 0, 40), **record), write(tmp_path / "b", scores(2, 0, 40), BETTER, **record)
    )
    for window in range(4):
        assert sorted(place for place, own in zip(places, found.table.groups, strict=True) if own == window) == list(
            range(10 * window, 10 * window + 10)
        )


def test_too_few_groups_are_called_too_few(tmp_path: Path) -> None:
    found = compared(
        write(tmp_path / "a", [0.0] * 4, groups=list("abcd")),
        write(tmp_path / "b", [1.0] * 4, BETTER, groups=list("abcd")),
    )
    assert found.verdict.sentences == [too_few_groups(4, "1 test")]
    assert found.verdict.winner is None


def test_a_config_that_fails_on_thirty_percent_never_wins_by_it(tmp_path: Path) -> None:
    failed = [at for at in range(N) if at % 10 < 3]
    base = scores(1)
    # Otherwise equal, and it fails where it would have scored lowest: left out of its mean, it would win.
    order = np.argsort(base, kind="stable")[: len(failed)]
    crashing = write(tmp_path / "crash", [value + 0.02 for value in base], BETTER, failed=[int(at) for at in order])
    found = compared(write(tmp_path / "base", base), crashing)
    row = [run.name for run in found.runs].index("crash")
    assert found.table.failed[row] == len(failed)
    assert found.table.scores[row, order].tolist() == [0.0] * len(failed)
    assert counted_as_zero(len(failed), N, "failed") in said(found)
    harder = write(tmp_path / "crash2", [min(1, value * 1.1) for value in base], BETTER, failed=failed)
    found = compared(tmp_path / "base", harder)
    assert found.runs[found.verdict.winner].name == "base"  # type: ignore[index]


def test_a_question_on_which_all_fail_counts_for_all(tmp_path: Path) -> None:
    found = compared(write(tmp_path / "a", scores(1), failed=[3]), write(tmp_path / "b", scores(2), BETTER, failed=[3]))
    assert len(found.table.rows) == N
    assert found.table.scores[:, 3].tolist() == [0, 0]


def test_a_missing_verdict_of_a_judge_is_no_pass(tmp_path: Path) -> None:
    found = compared(write(tmp_path / "a", [1.0] * N), write(tmp_path / "b", [None] * 50 + [1.0] * (N - 50), BETTER))
    row = [run.name for run in found.runs].index("b")
    assert found.table.means[row] == pytest.approx(0.75)
    assert counted_as_zero(50, 200, "were not judged") in said(found)


def test_a_score_that_is_missing_without_a_failure_is_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores(1)), write(tmp_path / "b", scores(2), BETTER)
    text = (b / "queries.jsonl").read_text()
    (b / "queries.jsonl").write_text(text.replace(f'"{METRIC}"', '"other"', 1))
    with pytest.raises(DataError, match=wording(value_missing("b", "nDCG@10", "q0"))):
        compared(a, b)


@pytest.mark.slow
def test_duplicates_change_nothing(tmp_path: Path) -> None:
    a, b, c = (
        write(tmp_path / "a", scores(1)),
        write(tmp_path / "b", scores(2, 0.3), BETTER),
        write(tmp_path / "c", scores(3), EQUAL),
    )
    again = write(tmp_path / "b-again", scores(2, 0.3), BETTER, "output=json", created="2026-02-02")
    for changed in ({"baseline": "a"}, {"plan": "pairs"}, {}):
        once, twice = compared(a, b, c, **changed), compared(a, b, b, c, again, **changed)
        assert as_json(twice)["tests"] == as_json(once)["tests"]
        assert twice.verdict.sentences == once.verdict.sentences
        assert twice.labels == once.labels
        assert runs_of_one_config() in said(twice)
    with pytest.raises(DataError, match=wording(two_configs_needed())):
        compared(b, again)


@pytest.mark.slow
def test_configs_with_the_same_scores_are_tested_once(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores(1)), write(tmp_path / "b", scores(2, 0.3), BETTER)
    twin = write(tmp_path / "twin", scores(2, 0.3), EQUAL)
    for changed in ({"baseline": "a"}, {"plan": "pairs"}):
        found, without = compared(a, b, twin, **changed), compared(a, b, **changed)
        assert [finding.adjusted for finding in found.verdict.findings] == [
            finding.adjusted for finding in without.verdict.findings
        ]
        assert same_score() in said(found)
        assert len(found.choice.standings) == 3  # it still has its own cost and latency


def test_equal_scores_recommend_the_cheapest_and_say_that_the_metric_tells_nothing_apart(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "dear", scores(1), usd=0.03),
        write(tmp_path / "cheap", scores(1), BETTER, usd=0.01),
        write(tmp_path / "third", scores(1), EQUAL, usd=0.02),
    ]
    for plan in ({"plan": "split"}, {"plan": "pairs"}, {"baseline": "dear"}):
        found = compared(*runs, **plan)
        assert found.verdict.sentences == [
            f"no clear winner: all configs have the same score on every question; {METRIC} cannot tell them apart"
        ]
        assert [run.name for run in found.runs].index("cheap") == found.choice.recommended
        front = {run.name for run, item in zip(found.runs, found.choice.standings, strict=True) if item.best_for_cost}
        assert front == {"cheap"}


@pytest.mark.slow
def test_the_order_of_runs_changes_nothing(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / "a", scores(1)),
        write(tmp_path / "b", scores(2, 0.2), BETTER),
        write(tmp_path / "c", scores(3, 0.1), EQUAL),
        write(tmp_path / "d", scores(4, 0.1), "reranker=mmr"),
    ]
    for changed in ({"baseline": "c"}, {"plan": "pairs"}, {"plan": "split", "baseline": "a"}):
        first = as_json(compared(*runs, **changed))
        for seed in range(3):
            shuffled = list(runs)
            random.Random(seed).shuffle(shuffled)
            assert as_json(compared(*shuffled, **changed)) == first


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dataset": {"name": "made", "digest": "d2"}}, must_share("b and a", "a dataset")),
        ({"qrels": ["q0 0 d0 1"]}, must_share("b and a", "gold")),
        ({"groups": ["g"] * N}, must_share("b and a", "groups of questions")),
        ({"config": {"metrics": {"k": 5}}}, must_share("b and a", "the settings of metrics")),
    ],
    ids=["dataset", "gold", "groups", "metrics"],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    a, b = write(tmp_path / "a", scores(1)), write(tmp_path / "b", scores(2), BETTER, **changed)
    with pytest.raises(DataError, match=wording(words)):
        compared(a, b)


def test_runs_of_other_questions_are_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores(1)), write(tmp_path / "b", scores(2)[:-2], BETTER)
    with pytest.raises(DataError, match=wording(must_share("b and a", questions_differ("q198", "q199")))):
        compared(a, b)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a", scores(1))
    with pytest.raises(DataError, match=wording(not_a_run())):
        compared(a, tmp_path)
    b = write(tmp_path / "b", scores(2), BETTER)
    (b / "run.json").write_text("[]")
    with pytest.raises(DataError, match=wording(damaged_run())):
        compared(a, b)


def test_a_metric_or_baseline_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    a, b = write(tmp_path / "base", scores(1)), write(tmp_path / "b", scores(2), BETTER)
    with pytest.raises(DataError, match=wording(unknown_metric("nDCG@11"), did_you_mean("nDCG@10"))):
        compared(a, b, metric="nDCG@11")
    with pytest.raises(ConfigError, match=wording(unknown_baseline("bas") + did_you_mean("base"))):
        compared(a, b, baseline="bas")
    assert compared(a, b, metric=None).table.metric == METRIC


def test_the_cheapest_and_the_fastest_of_those_shown_to_be_as_good_are_named(tmp_path: Path) -> None:
    good = scores(1, 0.5)
    near = [value - 0.001 if value else 0.0 for value in good]
    runs = [
        write(tmp_path / "best", good, p95=30.0, usd=0.03),
        write(tmp_path / "cheap", near, BETTER, p95=20.0, usd=0.01),
        write(tmp_path / "fast", [value - 0.002 if value else 0.0 for value in good], EQUAL, p95=10.0, usd=0.02),
        write(tmp_path / "poor", scores(5, -0.5), "reranker=mmr", p95=1.0, usd=0.001),
    ]
    found = compared(*runs)
    names, choice = [run.name for run in found.runs], found.choice
    assert names[choice.cheapest] == "cheap"  # type: ignore[index]
    assert names[choice.fastest] == "fast"  # type: ignore[index]
    assert names[choice.recommended] == "cheap"  # type: ignore[index]
    as_good = {name: each.as_good for name, each in zip(names, choice.standings, strict=True)}
    assert as_good == {"best": True, "cheap": True, "fast": True, "poor": False}
    fronts = {
        name: (each.best_for_cost, each.best_for_time) for name, each in zip(names, choice.standings, strict=True)
    }
    assert fronts == {"best": (True, True), "cheap": (True, True), "fast": (False, True), "poor": (True, True)}
    assert others_not_as_good() in said(found)


def fastest(found: Comparison) -> str | None:
    return None if found.choice.fastest is None else found.runs[found.choice.fastest].name


def test_on_fewer_than_200_timed_questions_no_config_is_called_fastest(tmp_path: Path) -> None:
    good = scores(1)
    for count, name in ((199, None), (200, "b")):
        folder = tmp_path / str(count)
        found = compared(
            write(folder / "a", good, p95=50.0, timed=200),
            write(folder / "b", good, BETTER, p95=5.0, timed=count),
            tolerance=0.5,
        )
        assert fastest(found) == name
        assert any(each.best_for_time for each in found.choice.standings) == (name is not None)
        assert (too_few_timed(200) in found.choice.time_of) == (name is None)


def test_benchmark_of_all_runs_at_one_rate_says_who_is_fastest(tmp_path: Path) -> None:
    good = scores(1)
    runs = [
        write(tmp_path / "a", good, p95=5.0, timed=30),
        write(tmp_path / "b", good, BETTER, p95=50.0, timed=30),
        write(tmp_path / "c", good, EQUAL, p95=50.0, timed=30),
    ]
    # At 20/s all were measured; what only some were measured at, or elsewhere, or not validly, says nothing.
    others = [result("a", 40, 1.0), result("c", 40, 90.0), result("b", 40, 1.0, valid=False)]
    others += [result("b", 40, 1.0, machine={"id": "m2"}), result("b", 40, 1.0, ingest="copy")]
    measured = [
        result(name, at, p99) for at in (10, 20) for name, p99 in (("a", at * 30.0), ("b", at * 2.0), ("c", at * 3.0))
    ]
    save_results(tmp_path, [*measured, *others])
    found = compared(*runs, tolerance=0.5)
    assert fastest(found) == "b"
    assert sorted(each.milliseconds or 0 for each in found.choice.standings) == [40, 60, 600]
    assert times_of_benchmark("20") in found.choice.time_of
    assert times_of_benchmark("20") in said(found)
    assert as_json(found)["time_of"] == found.choice.time_of


def test_benchmarks_at_different_rates_say_nothing_and_the_latency_pass_stays(tmp_path: Path) -> None:
    good = scores(1)
    runs = [write(tmp_path / "a", good, p95=5.0), write(tmp_path / "b", good, BETTER, p95=50.0)]
    save_results(tmp_path, [result("a", 10, 90.0), result("b", 11, 20.0)])
    assert fastest(compared(*runs, tolerance=0.5)) == "a"


def test_damaged_benchmark_file_is_an_error(tmp_path: Path) -> None:
    runs = [write(tmp_path / "a", scores(1)), write(tmp_path / "b", scores(1), BETTER)]
    (tmp_path / "benchmark.json").write_text("{}")
    with pytest.raises(DataError, match=wording(as_benchmark_writes_it())):
        compared(*runs)


def test_nothing_is_as_good_where_the_loss_could_be_larger_than_the_tolerance(tmp_path: Path) -> None:
    found = compared(write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER))
    assert [each.as_good for each in found.choice.standings] == [False, False]
    most = [each.most for each in found.choice.standings]
    (finding,) = found.verdict.findings
    assert most == pytest.approx([-finding.low, finding.high], abs=0.005)
    wide = compared(tmp_path / "a", tmp_path / "b", tolerance=0.5)
    assert [each.as_good for each in wide.choice.standings] == [True, True]


def test_losses_and_fronts_of_two_configs_by_hand(tmp_path: Path) -> None:
    good = write(tmp_path / "good", [0.75] * N, BETTER, usd=0.03, p95=90.0)
    bad = write(tmp_path / "bad", [0.5] * N, usd=0.01, p95=30.0)
    found = compared(good, bad, plan="pairs")
    by_name = {run.name: item for run, item in zip(found.runs, found.choice.standings, strict=True)}
    assert (by_name["good"].loss, by_name["bad"].loss) == (-0.25, 0.25)
    assert (by_name["good"].mean, by_name["bad"].mean) == (0.75, 0.5)
    assert [(item.best_for_cost, item.best_for_time) for item in by_name.values()] == [(True, True)] * 2
    assert [item.as_good for item in (by_name["good"], by_name["bad"])] == [True, False]


def test_costs_are_in_the_first_unit_that_every_run_knows(tmp_path: Path) -> None:
    def run(name: str, index_usd: float | None, usd: float | None, tokens: int, *overrides: str) -> Path:
        index = {"name": "i", "fingerprint": "f", "bytes": 1, "embedding_tokens": 100, "usd": index_usd}
        folder = write(tmp_path / name, scores(1), *overrides, usd=usd, index=index)
        measured = json.loads((folder / "metrics.json").read_text())
        measured["cost"] = {"embedding_tokens": tokens, "llm_input_tokens": 5, "usd": usd}
        (folder / "metrics.json").write_text(json.dumps(measured))
        return folder

    first = run("first", 0.5, 0.25, 7, BETTER)
    for second, costs, unit in (
        (run("dollars", 0.25, 0.5, 0), [0.75, 0.75], "US dollars for the index and all questions"),
        (run("questions", None, 0.5, 0), [0.25, 0.5], "US dollars for all questions"),
        (run("tokens", None, None, 10), [112.0, 115.0], "tokens for the index and all questions"),
    ):
        found = compared(first, second, plan="pairs")
        assert sorted(item.cost for item in found.choice.standings) == costs
        assert found.choice.cost_of == unit


def test_claims_name_their_correction_and_what_was_not_tested(tmp_path: Path) -> None:
    base, one, two = (
        write(tmp_path / name, scores(at, gain), *overrides)
        for at, (name, gain, *overrides) in enumerate([("base", 0.0), ("one", 1.0, BETTER), ("two", 2.5, EQUAL)])
    )
    both = sentences(compared(base, one, two, baseline="base"))
    assert both.count(corrected_for("2 tests")) == 2
    assert best_not_tested() in both
    worse = sentences(compared(base, one, two, baseline="two"))
    assert better_than("fixed + dense (baseline)", "fixed + hybrid") in worse
    assert worse.count(corrected_for("2 tests")) == 2
    assert best_not_tested() not in worse
    assert corrected_for("") not in sentences(compared(base, one, plan="pairs"))


def test_open_question_is_that_of_the_two_best(tmp_path: Path) -> None:
    labels = {"worst": "fixed + hybrid", "second": "paragraph + hybrid", "best": "fixed + dense"}
    level = np.array(scores(1))
    noise = np.random.default_rng(9).normal(0, 0.1, N)
    worst = write(tmp_path / "worst", (level - 0.01).tolist())
    second = write(tmp_path / "second", (level + noise).tolist(), BETTER)
    best = write(tmp_path / "best", (level + 0.02 - noise).tolist(), EQUAL)
    found = compared(worst, second, best, plan="pairs")
    means = {run.name: item.mean for run, item in zip(found.runs, found.choice.standings, strict=True)}
    assert means["best"] > means["second"] > means["worst"]
    (sentence, *_) = found.verdict.sentences
    assert sentence.startswith(no_clear_winner())
    assert labels["best"] in sentence
    assert labels["second"] in sentence
    assert labels["worst"] not in sentence


def test_claim_shows_its_p_value(tmp_path: Path) -> None:
    base, clear = write(tmp_path / "base", scores(1)), write(tmp_path / "clear", scores(2, 1.0), BETTER)
    close = write(tmp_path / "close", scores(3, 0.1), EQUAL)
    (finding,) = compared(base, close, plan="pairs").verdict.findings
    assert 0.001 < finding.adjusted < 0.05
    assert p_below(0.001) in sentences(compared(base, clear, plan="pairs"))
    assert p_below(0.001) not in sentences(compared(base, close, plan="pairs"))


def test_without_a_shown_winner_the_baseline_stays(tmp_path: Path) -> None:
    found = compared(write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER), baseline="b")
    assert found.runs[found.choice.recommended].name == "b"  # type: ignore[index]
    assert baseline_stays() in found.choice.reason


@pytest.mark.parametrize(
    ("others", "chosen", "reason"),
    [
        ({"usd": 0.01, "p95": 20.0, "gain": 0.002}, "first", "the cheapest"),  # as cheap, and better, but slower
        ({"usd": 0.01, "p95": 10.0, "gain": 0.002}, "second", "the cheapest"),  # as cheap and as fast, and better
        ({"usd": 0.01, "p95": 10.0, "gain": -0.002}, "first", "the cheapest"),
        ({"usd": 0.03, "p95": 5.0, "gain": 0.0}, "second", "the fastest"),
        ({"usd": 0.03, "p95": 10.0, "gain": 0.002}, "second", "the best"),
        ({"usd": 0.03, "p95": 10.0, "gain": 0.0}, "first", "the best"),
    ],
    ids=["then faster", "then better", "then not worse", "fastest", "best", "first of equals"],
)
def test_of_configs_as_good_price_decides_then_time_then_score(
    tmp_path: Path, others: dict[str, float], chosen: str, reason: str
) -> None:
    good = scores(1, 0.5)
    # The third costs more wherever the price is to decide, and is slower wherever the time is.
    usd, p95 = 0.03, 10.0 if reason == "the best" else 30.0
    first_usd = 0.01 if reason == "the cheapest" else 0.03
    own = [value + others["gain"] if value else 0.0 for value in good]
    found = compared(
        write(tmp_path / "first", good, usd=first_usd, p95=10.0),
        write(tmp_path / "second", own, BETTER, usd=others["usd"], p95=others["p95"]),
        write(tmp_path / "third", [value - 0.001 if value else 0.0 for value in good], EQUAL, usd=usd, p95=p95),
        baseline="first",
    )
    assert found.runs[found.choice.recommended].name == chosen  # type: ignore[index]
    assert found.choice.reason.startswith(reason)


@pytest.mark.parametrize(
    ("winner", "baseline", "beaten", "row", "words"),
    [
        (1, 0, [0], 1, "shown to be better than the baseline"),
        (0, 0, [1], 0, better_than_every_other()),
        (1, None, [0], 1, better_than_every_other()),
        (None, 0, [], 0, baseline_stays()),
        (None, 0, [0], None, nothing_shown()),
        (None, None, [], None, nothing_shown()),
    ],
)
def test_where_none_is_as_good_the_verdict_decides(
    tmp_path: Path, winner: int | None, baseline: int | None, beaten: list[int], row: int | None, words: str
) -> None:
    found = compared(write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER))
    settings = {**found.settings, "tolerance": 0.0001, "seed": 0, "resamples": 2000}
    choice = select(
        found.runs, found.table, replace(found.verdict, winner=winner, baseline=baseline, beaten=beaten), settings
    )
    assert [each.as_good for each in choice.standings] == [False, False]
    assert choice.recommended == row
    assert choice.reason.startswith(words)


def test_open_question_of_a_split_needs_twice_the_questions_of_its_test_half(tmp_path: Path) -> None:
    runs = [write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2, 0.05), BETTER)]
    found = compared(*runs, plan="split", baseline="a")
    (finding,) = found.verdict.findings
    assert found.verdict.winner is None
    assert finding.needed is not None
    assert (
        questions_needed(2 * finding.needed, f"half of them to test; now {found.verdict.queries}")
        in found.verdict.sentences[0]
    )


@pytest.mark.parametrize(
    ("tolerance", "words"), [(0.3, "would have shown a difference of .300"), (0.001, "would settle whether")]
)
def test_open_question_says_whether_these_questions_would_have_shown_the_tolerance(
    tmp_path: Path, tolerance: float, words: str
) -> None:
    found = compared(write(tmp_path / "a", scores(5)), write(tmp_path / "b", scores(2), BETTER), tolerance=tolerance)
    assert words in found.verdict.sentences[0]


def test_who_was_not_timed_alike_is_not_called_faster(tmp_path: Path) -> None:
    good = scores(1)
    found = compared(write(tmp_path / "a", good, p95=5.0), write(tmp_path / "b", good, BETTER), tolerance=0.5)
    assert found.choice.fastest is None
    assert [each.milliseconds for each in found.choice.standings] == [None, None]
    assert found.choice.time_of == timed_differently()


def test_tags_are_broken_down_and_the_questions_that_moved_most_shown_with_their_chunks(tmp_path: Path) -> None:
    tags = [{"language": "ko" if at % 4 == 0 else "en"} for at in range(N)]
    base = [0.5] * N
    moved = [0.5] * (N - 3) + [0.4, 0.9, 0.1]
    found = compared(
        write(tmp_path / "base", base, tags=tags), write(tmp_path / "new", moved, BETTER, tags=tags), baseline="base"
    )
    assert [(part.value, part.queries) for part in found.tags] == [("en", 150), ("ko", 50)]
    for part in found.tags:
        row = [run.name for run in found.runs].index("new")
        own = [value for value, tag in zip(moved, tags, strict=True) if tag["language"] == part.value]
        assert part.means[row] == pytest.approx(np.mean(own))
        assert part.difference == pytest.approx(np.mean(own) - 0.5)
    assert [example.query for example in found.worse] == ["q199", "q197"]
    assert [example.query for example in found.better] == ["q198"]
    assert found.worse[0].scores == (0.1, 0.5)
    assert [chunks[0]["text"] for chunks in found.worse[0].chunks] == ["found by new for 199", "found by base for 199"]
    assert compared(tmp_path / "base", tmp_path / "new", examples=0).worse == []


def test_a_part_of_one_group_has_no_interval(tmp_path: Path) -> None:
    tags = [{"kind": "rare" if at == 0 else "common"} for at in range(N)]
    a, b = write(tmp_path / "a", scores(1), tags=tags), write(tmp_path / "b", scores(2), BETTER, tags=tags)
    found = compared(a, b)
    (part,) = [section for section in sections(found) if section.title.startswith("By kind")]
    assert part.head == ["config", "common (199)", "rare (1)"]
    assert part.rows[-1][2].endswith("(one group: no interval)")
    assert "inf" not in str(as_json(found)["tags"])


def test_labels_say_what_the_configs_differ_in(tmp_path: Path) -> None:
    found = compared(
        write(tmp_path / "a", scores(1), "reranker=mmr"),
        write(tmp_path / "b", scores(2), "chunking.chunk_size=100"),
        write(tmp_path / "c", scores(3), BETTER),
    )
    assert sorted(found.labels) == ["fixed chunk_size=100 + none", "fixed chunk_size=256 + mmr", "paragraph + none"]


def test_of_many_shown_differences_people_read_the_first_and_a_count() -> None:
    sentences = [f"{number} is better" for number in range(300)]
    assert shortened(sentences[:12]) == sentences[:12]
    assert shortened(sentences) == [*sentences[:12], more_differences(288)]


def test_advice_counts_the_tests_of_configs_that_differ(tmp_path: Path) -> None:
    near = [value + (0.001 if at % 2 else -0.001) for at, value in enumerate(scores(1))]
    runs = [
        write(tmp_path / "a", scores(1), groups=[f"g{at % 9}" for at in range(N)]),
        write(tmp_path / "b", scores(1), BETTER, groups=[f"g{at % 9}" for at in range(N)]),
        write(tmp_path / "c", near, EQUAL, groups=[f"g{at % 9}" for at in range(N)]),
    ]
    found = compared(*runs, plan="pairs")
    assert len(found.verdict.findings) == 1
    assert not [text for text in advice(found) if "comparison.baseline" in text], "one test cannot become fewer"
