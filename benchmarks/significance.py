"""Measures by simulation whether the verdict is honest; exits 1 when a limit is missed.

    python benchmarks/significance.py [sweeps]

Each sweep draws groups of queries with their real per-query scores (nDCG@10 of 27 hashed embeddings on KorQuAD, whose
groups are articles of several questions, and on SciFact, where a group is a document of mostly one). Exchangeable
configs are made by shuffling the configs' labels again in every group, so that none is better and groups stay alike
inside. Without ../shared/data the scores are made up: beta, many zeros, correlated within groups.
"""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ragloom.comparison import paired_statistics, significance
from ragloom.comparison.significance import Plan
from ragloom.components.embedding.hashing_embedding import _Features

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
Numbers = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

DIMENSIONS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
DAMPING = (0.25, 0.5, 1.0)  # power to which a bucket's count is raised: 27 embeddings with 9 sizes
MOST_OF_A_GROUP = 8  # queries taken of one article, 1 to as many
RESAMPLES = 2000  # of the first look; a p value near its limit is drawn again with as many as the verdict takes
PLANS: tuple[Plan, ...] = ("baseline", "split", "pairs")
FALSE_WINNERS, COVERAGE, POWER_ERROR = 0.06, (0.93, 0.97), 0.05
FEW = 5  # groups of the runs that are cut into windows, as many as the Chroma set has


@dataclass(frozen=True)
class Population:
    """Real scores that sweeps are drawn from: `[k, n]`, each group's columns, and those of its whole."""

    name: str
    scores: Numbers
    members: list[npt.NDArray[np.intp]]
    whole: list[npt.NDArray[np.intp]]

    def drawn(self, groups: int, rng: np.random.Generator) -> tuple[Numbers, Groups]:
        """Draws groups with replacement: scores `[k, n]` and the group of each column."""
        parts = [self.members[number] for number in rng.integers(len(self.members), size=groups)]
        return self.scores[:, np.concatenate(parts)], np.repeat(np.arange(groups), [len(part) for part in parts])


def ndcg(documents: list[str], queries: list[str], gold: list[set[int]]) -> Numbers:
    """Scores 27 hashed embeddings: nDCG@10 of each query, `[27, n]`."""
    rows = []
    for dimensions in DIMENSIONS:
        features = _Features(dimensions)
        sums = features.sums(documents), features.sums(queries)
        for damping in DAMPING:
            kept, asked = (unit(np.sign(part) * np.abs(part) ** damping) for part in sums)
            rows.append([gain(scores, wanted) for scores, wanted in zip(asked @ kept.T, gold, strict=True)])
    return np.array(rows)


def unit(rows: Numbers) -> Numbers:
    scaled: Numbers = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def gain(scores: Numbers, wanted: set[int]) -> float:
    top = np.argpartition(-scores, 10)[:10]
    order = top[np.argsort(-scores[top], kind="stable")]
    found = sum(1 / np.log2(rank + 2) for rank, number in enumerate(order) if int(number) in wanted)
    return float(found / sum(1 / np.log2(rank + 2) for rank in range(min(10, len(wanted)))))


def grouped(name: str, scores: Numbers, groups: list[int], most: int) -> Population:
    rng = np.random.default_rng(0)
    whole = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    return Population(name, scores, [rng.permutation(part)[: rng.integers(1, most + 1)] for part in whole], whole)


def korquad() -> tuple[Population, Groups]:
    articles = json.loads((SHARED / "korquad1-dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    documents, queries, gold, groups = [], [], [], []
    for article, content in enumerate(articles):
        for paragraph in content["paragraphs"]:
            documents.append(paragraph["context"])
            for asked in paragraph["qas"]:
                queries.append(asked["question"])
                gold.append({len(documents) - 1})
                groups.append(article)
    places = np.array([min(wanted) for wanted in gold])
    return grouped("KorQuAD", ndcg(documents, queries, gold), groups, MOST_OF_A_GROUP), places


def scifact() -> tuple[Population, Groups]:
    def lines(name: str) -> Iterator[dict[str, str]]:
        for line in (SHARED / "scifact" / name).read_text(encoding="utf-8").splitlines():
            yield json.loads(line)

    corpus = list(lines("corpus.jsonl"))
    places = {entry["_id"]: number for number, entry in enumerate(corpus)}
    gold: dict[str, set[int]] = {}
    with (SHARED / "scifact" / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            gold.setdefault(row["query-id"], set()).add(places[row["corpus-id"]])
    asked = [(entry["text"], gold[entry["_id"]]) for entry in lines("queries.jsonl") if entry["_id"] in gold]
    documents = [f"{entry['title']} {entry['text']}" for entry in corpus]
    scores = ndcg(documents, [text for text, _ in asked], [wanted for _, wanted in asked])
    places = [min(wanted) for _, wanted in asked]
    return grouped("SciFact", scores, places, MOST_OF_A_GROUP), np.array(places)


def made_up(groups: int = 140) -> tuple[Population, Groups]:
    """Scores like real ones where no data is: beta, half of them zero, alike within a group."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(groups), rng.integers(1, MOST_OF_A_GROUP + 1, size=groups))
    ease, taste = rng.normal(size=groups)[numbers], rng.normal(0, 0.7, size=(27, groups))[:, numbers]
    level = ease + taste + rng.normal(0, 0.7, size=(27, len(numbers)))
    scores = np.where(level > 0, rng.beta(4, 1.5, size=level.shape), 0.0)
    return grouped("made-up scores", scores, numbers.tolist(), MOST_OF_A_GROUP), numbers


def exchangeable(population: Population, configs: int, groups: int, rng: np.random.Generator) -> tuple[Numbers, Groups]:
    """Draws groups, and shuffles the configs' labels again in each of them: none is better than another."""
    scores, numbers = population.drawn(groups, rng)
    order = rng.permuted(np.tile(np.arange(len(scores)), (groups, 1)), axis=1)[:, :configs]
    return np.take_along_axis(scores, order.T[:, numbers], axis=0), numbers


def names_a_winner(scores: Numbers, groups: Groups, plan: Plan, seed: int) -> bool:
    """Says whether any test is passed; by p alone, so at least as often as the verdict names a winner.

    Of hundreds of pairs only those are tested whose p by t is within 20 times the first limit of Holm, and those
    near it are drawn again, as the verdict does.
    """
    baseline, best = (None if plan == "pairs" else 0), None
    if plan == "split":
        dev = significance.halves(groups, seed)
        best = int(scores[:, dev].mean(axis=1).argmax())
        scores, groups = scores[:, ~dev], significance.numbered([str(group) for group in groups[~dev]])
    chosen = significance.pairs(plan, range(len(scores)), baseline, best)
    if not chosen:
        return False
    data, limit = (
        paired_statistics.paired(significance.differences(scores, chosen), groups),
        paired_statistics.ALPHA / len(chosen),
    )
    t = stdtrit(data.groups - 1, 1 - min(0.5, 20 * limit) / 2)
    near = np.flatnonzero(np.abs(data.mean) >= t * data.error)
    if not near.size:
        return False
    p = paired_statistics.flip_p(data.only(near), RESAMPLES, np.random.default_rng(seed))
    if (wanted := math.ceil(paired_statistics.REFINED / limit)) > RESAMPLES:
        near = near[p <= paired_statistics.NEAR * limit]
        if not near.size:
            return False
        p = paired_statistics.flip_p(data.only(near), wanted, np.random.default_rng(seed + 1))
    return bool(p.min() <= limit)


def best_against_baseline(scores: Numbers, groups: Groups, plan: Plan, seed: int) -> bool:
    """What must never be done: the observed best against the baseline, as if it had been chosen before."""
    best = int(scores[1:].mean(axis=1).argmax()) + 1
    p = significance.p_values(scores, groups, [(best, 0)], RESAMPLES, seed)
    return bool(p[0] <= paired_statistics.ALPHA)


Draw = Callable[[np.random.Generator], tuple[Numbers, Groups]]
Judge = Callable[[Numbers, Groups, Plan, int], bool]


def false_winners(draw: Draw, sweeps: int, plan: Plan, judge: Judge = names_a_winner) -> float:
    rng = np.random.default_rng(6)
    return sum(judge(*draw(rng), plan, sweep) for sweep in range(sweeps)) / sweeps


def in_windows(
    population: Population, places: Groups, configs: int, rng: np.random.Generator
) -> tuple[Numbers, Groups]:
    """Draws few whole groups and cuts them into windows; labels are shuffled in every place (paragraph)."""
    taken = rng.choice(len(population.whole), FEW, replace=False)
    columns = np.concatenate([population.whole[number] for number in taken])
    groups = np.repeat(np.arange(FEW), [len(population.whole[number]) for number in taken])
    _, near = np.unique(places[columns], return_inverse=True)
    order = rng.permuted(np.tile(np.arange(len(population.scores)), (near.max() + 1, 1)), axis=1)[:, :configs]
    scores = np.take_along_axis(population.scores[:, columns], order.T[:, near], axis=0)
    return scores, significance.windows(groups, columns.astype(np.float64))


def coverage(population: Population, sweeps: int, groups: int) -> tuple[float, float]:
    """Returns how often the 95 % interval holds the population's difference, and the mean number of queries.

    The two configs are another pair of the 27 in each sweep, so that near and far ones are among them.
    """
    rng = np.random.default_rng([groups, 95])
    everything = np.concatenate(population.members)
    covered, queries = 0, 0
    for _ in range(sweeps):
        first, second = rng.choice(len(population.scores), 2, replace=False)
        truth = float((population.scores[first, everything] - population.scores[second, everything]).mean())
        scores, numbers = population.drawn(groups, rng)
        data = paired_statistics.paired((scores[first] - scores[second])[:, None], numbers)
        low, high = paired_statistics.intervals(data, RESAMPLES, rng)
        covered += bool(low[0] <= truth <= high[0])
        queries += data.queries
    return covered / sweeps, queries / sweeps


def found(population: Population, sweeps: int, groups: int, lift: float) -> tuple[float, float, float]:
    """Returns how often a true difference is found, the rate that the power formula gives, and the difference.

    Two exchangeable configs; one gets a share of the way to 1 on three queries of ten. The true difference is
    the mean of what it gets, over all draws.
    """
    rng = np.random.default_rng([groups, int(lift * 1000)])
    draws = []
    for sweep in range(sweeps):
        scores, numbers = exchangeable(population, 2, groups, rng)
        gained = np.where(rng.random(scores.shape[1]) < 0.3, lift * (1 - scores[0]), 0.0)
        data = paired_statistics.paired((scores[0] + gained - scores[1])[:, None], numbers)
        p = paired_statistics.refined_p(data, RESAMPLES, np.random.default_rng(sweep))
        draws.append(
            (p[0] <= paired_statistics.ALPHA and data.mean[0] > 0, gained.sum(), scores.shape[1], data.error[0])
        )
    hits, gains, sizes, errors = map(np.array, zip(*draws, strict=True))
    truth = float(gains.sum() / sizes.sum())
    formula = float(np.mean([paired_statistics.power(truth, error, groups) for error in errors]))
    return float(hits.mean()), formula, truth


def main() -> int:
    """Prints the tables; returns 1 when a figure misses its limit."""
    sweeps = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    there = (SHARED / "korquad1-dev").is_dir() and (SHARED / "scifact").is_dir()
    missed = 0
    for make, groups in [(korquad, 50), (scifact, 100)] if there else [(made_up, 50)]:
        population, places = make()
        sizes = [len(part) for part in population.members]
        print(f"\n{population.name}: {len(sizes)} groups of {np.mean(sizes):.1f} queries; {sweeps} sweeps each")
        missed += winners_table(population, sweeps, groups)
        if population.name == "KorQuAD":
            missed += windows_table(population, places, sweeps)
        missed += coverage_table(population, sweeps)
        missed += power_table(population, sweeps)
    print(f"\n{missed} figures miss their limits")
    return int(missed > 0)


def winners_table(population: Population, sweeps: int, groups: int) -> int:
    print(f"  a winner among equals, {groups} groups (limit {FALSE_WINNERS})")
    print("     k  baseline   split   pairs   (never do this: best against baseline)")
    missed = 0
    for configs in (3, 10, 27):
        draw = partial(exchangeable, population, configs, groups)
        rates = [false_winners(draw, sweeps, plan) for plan in PLANS]
        wrong = false_winners(draw, sweeps, "baseline", best_against_baseline)
        print(f"    {configs:2}     {rates[0]:.3f}   {rates[1]:.3f}   {rates[2]:.3f}   ({wrong:.3f})", flush=True)
        missed += sum(rate > FALSE_WINNERS for rate in rates)
    return missed


def windows_table(population: Population, places: Groups, sweeps: int) -> int:
    missed = 0
    for configs in (3, 10):
        rate = false_winners(partial(in_windows, population, places, configs), sweeps, "pairs")
        print(f"  a winner among {configs} equals, {FEW} whole articles in windows, pairs: {rate:.3f}", flush=True)
        missed += rate > FALSE_WINNERS
    return missed


def coverage_table(population: Population, sweeps: int) -> int:
    missed = 0
    for groups in (10, 20, 50, 100, 200):
        rate, queries = coverage(population, sweeps, groups)
        judged = groups >= paired_statistics.BOOTSTRAP_GROUPS and queries >= paired_statistics.BOOTSTRAP_QUERIES
        kind = "bootstrap" if judged else "t"
        print(f"  95 % interval ({kind}), {groups:3} groups, {queries:4.0f} queries: covers {rate:.3f}", flush=True)
        missed += judged and not COVERAGE[0] <= rate <= COVERAGE[1]
    return missed


def power_table(population: Population, sweeps: int) -> int:
    missed = 0
    for groups in (50, 100):
        for lift in (0.2, 0.4, 0.7):
            rate, formula, truth = found(population, sweeps, groups, lift)
            print(
                f"  a difference of {truth:.3f}, {groups:3} groups: found {rate:.3f}, formula {formula:.3f}", flush=True
            )
            missed += abs(rate - formula) > POWER_ERROR
    return missed


if __name__ == "__main__":
    sys.exit(main())
