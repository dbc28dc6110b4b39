"""`evaluate.py` as a person and a program meet it: what it measures, writes and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ir_measures
import pytest
import yaml

import programs
from evaluation_corpus import QUESTIONS, evaluate, evaluated, overrides, queries, write_corpus, write_questions
from messages.cache import new_stage
from messages.config import at_least, did_you_mean, greater_than, metric_without_number
from messages.evaluation import closed_loop, more_than_scored, no_rankings_left, not_ingested, source_is_empty
from ragloom.comparison.run_loader import load_run
from ragloom.query.engine import CitedQueryEngine
from ragloom.query.query_result import QueryResult

FILES = {"config.yaml", "run.json", "metrics.json", "queries.jsonl", "run.trec", "qrels.trec", "documents.txt"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and its questions."""
    write_corpus(tmp_path)
    write_questions(tmp_path)
    return tmp_path


def test_run_folder_holds_what_was_run_and_what_it_scored(place: Path) -> None:
    shown = evaluated(place)
    folder = place / shown["folder"]
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "metrics.json").read_text("utf-8")) == {
        key: shown[key] for key in ("metrics", "verdicts", "counts", "cost")
    }
    run = json.loads((folder / "run.json").read_text("utf-8"))
    assert run["run"] == folder.name == shown["run"]
    assert run["index"]["name"] == f"corpus-{run['index']['fingerprint']}"
    assert run["choices"]["retriever"] == "bm25"
    assert run["environment"]["packages"]["lancedb"]
    assert yaml.safe_load((folder / "config.yaml").read_text("utf-8")) == run["config"]
    assert shown["counts"] == {
        "queries": 4,
        "judged": 3,
        "not_judged": 1,
        "without_answer": 0,
        "errors": 0,
        "judged_errors": 0,
    }
    lines = queries(place, shown)
    assert [line["query"] for line in lines] == [question["id"] for question in QUESTIONS]
    assert lines[3]["metrics"] == {}
    for name, mean in shown["metrics"].items():
        values = [line["metrics"][name] for line in lines if line["judged"]]
        assert mean == pytest.approx(sum(values) / 3)


def test_lines_say_where_the_gold_stands_so_that_windows_follow_it(place: Path) -> None:
    shown = evaluated(place)
    lines = {line["query"]: line for line in queries(place, shown)}
    assert lines["ring"]["gold"] == [{"document": "bell.txt", "start": 22, "end": 35}]
    assert lines["captain"]["gold"] == []
    assert {row.id: row.position for row in load_run(place / shown["folder"]).rows}["ring"] == 22


def test_convention_and_all_chunks_reach_the_metrics(place: Path) -> None:
    """TRAPS 44: a text that repeats itself is found by Chroma's convention at its first place."""
    write_corpus(place, {"bell.txt": "It rings at noon.\n\nIt is loud.\n\nIt rings at noon."})
    (place / "questions.jsonl").write_text(
        json.dumps({"id": "q", "question": "loud rings?", "gold": [{"document": "bell.txt", "range": [32, 49]}]})
    )
    own = ["chunking=paragraph", "chunking.chunk_size=6", "metrics.spans=[recall@3,precision_omega]"]
    assert evaluated(place, *own)["metrics"] == {"recall@3": 1.0, "precision_omega": 1.0}
    chroma = evaluated(place, *own, "metrics.convention=chroma")
    assert chroma["metrics"]["recall@3"] < 0.2  # nothing but the blanks before it
    assert chroma["metrics"]["precision_omega"] < 0.2


@pytest.mark.slow
def test_gold_is_the_same_however_documents_are_cut(place: Path) -> None:
    """TRAPS 26: gold that names nodes is invalid once the chunking changes."""
    runs = [evaluated(place, "chunking=paragraph", f"chunking.chunk_size={size}") for size in (12, 200)]
    one, other = (place / shown["folder"] for shown in runs)
    assert (one / "qrels.trec").read_bytes() == (other / "qrels.trec").read_bytes()
    ends = [{chunk["end"] for line in queries(place, shown) for chunk in line["chunks"]} for shown in runs]
    assert ends[0] != ends[1]
    assert [shown["metrics"]["recall@1000tokens"] for shown in runs] == [1.0, 1.0]


def test_questions_are_analysed_as_the_index_was(place: Path) -> None:
    """TRAPS 34: stemmed index, unstemmed queries."""
    question = {"id": "q", "question": "closing", "gold": [("deck.txt", "upper deck is closed")]}
    write_questions(place, [question])
    assert evaluated(place, "analyzer=multilingual")["metrics"]["R@5"] == 0.0
    assert evaluated(place, "analyzer=english")["metrics"]["R@5"] == 1.0


def test_trec_files_give_standard_tools_the_same_metrics(place: Path) -> None:
    names = "[nDCG@3,R@3,P@3,RR@3,AP@3,Success@1]"
    shown = evaluated(place, f"metrics.spans={names}")
    folder = place / shown["folder"]
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels.trec")))
    run = list(ir_measures.read_trec_run(str(folder / "run.trec")))
    measures = [ir_measures.parse_measure(name) for name in names.strip("[]").split(",")]
    for measure, value in ir_measures.calc_aggregate(measures, qrels, run).items():
        assert shown["metrics"][str(measure)] == pytest.approx(value, abs=1e-6)


@pytest.mark.slow
def test_same_index_and_config_give_the_same_bytes_from_the_cache_and_without_it(place: Path) -> None:
    folder = place / evaluated(place)["folder"]
    first = {name: (folder / name).read_bytes() for name in ("metrics.json", "run.trec", "qrels.trec")}
    again = evaluated(place)
    assert [stage["hit"] for stage in again["stages"]] == [True, True]
    assert {name: (folder / name).read_bytes() for name in first} == first
    shutil.rmtree(place / ".ragloom" / "stages")
    again = evaluated(place, "concurrency=1", "ingest=never")
    assert [stage["hit"] for stage in again["stages"]] == [False]
    assert {name: (place / again["folder"] / name).read_bytes() for name in first} == first


def failing(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Has searches crash for questions that hold one of these words."""
    search = CitedQueryEngine.search

    def crash(self: CitedQueryEngine, question: Any) -> QueryResult:
        if any(word in str(question) for word in words):
            raise KeyError("a bug of one question")
        return search(self, question)

    monkeypatch.setattr(CitedQueryEngine, "search", crash)


def test_crashed_questions_are_zeros_that_are_listed_and_never_left_out_of_the_mean(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRAPS 34: a configuration whose hard questions crashed won."""
    whole = evaluated(place)
    shutil.rmtree(place / ".ragloom" / "stages")
    failing(monkeypatch, "anchor", "captain")
    shown = evaluated(place, status=3)
    assert [item["query"] for item in shown["errors"]] == ["weight", "captain"]
    assert "KeyError" in shown["errors"][0]["error"]
    assert shown["counts"]["errors"] == 2
    assert shown["counts"]["judged_errors"] == 1
    lines = {line["query"]: line for line in queries(place, shown)}
    assert set(lines["weight"]["metrics"].values()) == {0.0}
    assert lines["weight"]["error"]
    assert whole["metrics"]["R@5"] == 1.0
    assert shown["metrics"]["R@5"] == pytest.approx(2 / 3)
    assert shown["metrics"]["recall@1000tokens"] == pytest.approx(2 / 3)


def test_a_question_that_failed_is_asked_again_and_the_others_are_not(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        failing(patched, "anchor")
        evaluated(place, status=3)
    failing(monkeypatch, "bell", "cabin")  # these are found, and so cannot fail
    shown = evaluated(place)
    rankings = shown["stages"][-1]
    assert (rankings["hits"], rankings["made"]) == (3, 1)
    assert shown["metrics"]["R@5"] == 1.0


def test_cache_tells_search_types_apart(place: Path) -> None:
    """TRAPS 34: a cache key left out the search type, so that all search types got the first one's answers."""
    bm25 = queries(place, evaluated(place))
    dense = queries(place, evaluated(place, "retriever=dense"))
    assert [chunk["bm25_rank"] for chunk in bm25[0]["chunks"]][:1] == [1]
    assert [chunk["dense_rank"] for chunk in dense[0]["chunks"]][:1] == [1]
    assert [chunk["bm25_rank"] for chunk in dense[0]["chunks"]][:1] == [None]


@pytest.mark.parametrize(
    "change",
    [
        ["retriever.top_k=6"],
        ["retriever.min_score=0.1"],
        ["chunking.chunk_size=20", "chunking.chunk_overlap=0"],
        ["analyzer=whitespace"],
        ["reranker=mmr"],
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_any_change_of_what_decides_a_ranking_makes_it_again(place: Path, change: list[str]) -> None:
    evaluated(place)
    rankings = evaluated(place, *change)["stages"][-1]
    assert not rankings["hit"]
    assert rankings["hits"] == 0
    assert rankings["differs"]


@pytest.mark.parametrize("change", ["concurrency=1", "explain=true", "metrics.spans=[R@3]"])
@pytest.mark.slow
def test_what_decides_no_ranking_makes_none_again(place: Path, change: str) -> None:
    evaluated(place, "metrics.spans=[R@3]")
    assert evaluated(place, "metrics.spans=[R@3]", change)["stages"][-1]["hit"]


@pytest.mark.parametrize("content", ["", " \n"])
@pytest.mark.slow
def test_corpus_edited_to_nothing_does_not_score_from_the_cache(place: Path, content: str) -> None:
    """TRAPS 34: a corpus edited to nothing still scored 1.0 from the cache."""
    assert evaluated(place)["metrics"]["R@5"] == 1.0
    for path in (place / "corpus").iterdir():
        path.write_text(content, encoding="utf-8")
    done = evaluate(place)
    assert done.returncode == 1
    assert no_rankings_left() in done.stderr
    shutil.rmtree(place / "corpus")
    (place / "corpus").mkdir()
    done = evaluate(place, "allow_mass_delete=true")
    assert done.returncode == 1
    assert source_is_empty() in done.stderr


def test_edited_document_is_ingested_before_it_is_measured(place: Path) -> None:
    before = evaluated(place)
    write_corpus(place, {"bell.txt": "The bell is silent: it rings at noon no more.\n\nIt was sold."})
    after = evaluated(place)
    made = {stage["stage"]: (stage["hits"], stage["made"]) for stage in after["stages"]}
    assert made == {"chunks": (3, 1), "index": (0, 1), "rankings": (0, 4)}
    assert after["run"] != before["run"]
    texts = [chunk["text"] for line in queries(place, after) for chunk in line["chunks"]]
    assert any("no more" in text for text in texts)
    assert not any("Incheon" in text for text in texts)


@pytest.mark.slow
def test_run_keeps_its_name_and_bytes_when_an_ingest_changed_nothing(place: Path) -> None:
    first = evaluated(place)
    bytes_before = (place / first["folder"] / "run.trec").read_bytes()
    assert programs.run("ingest", *overrides(place), cwd=place).returncode == 0
    again = evaluated(place)
    assert again["run"] == first["run"]
    assert (place / again["folder"] / "run.trec").read_bytes() == bytes_before
    assert len(list((place / ".ragloom" / "runs").glob("questions-*"))) == 1


@pytest.mark.slow
def test_ingest_never_measures_the_committed_state_and_says_how_to_get_one(place: Path) -> None:
    done = evaluate(place, "ingest=never")
    assert done.returncode == 1
    assert not_ingested("lancedb") in done.stderr
    evaluated(place)
    write_corpus(place, {"bell.txt": "Silence."})
    assert evaluated(place, "ingest=never")["metrics"]["R@5"] == 1.0


def test_gold_of_a_document_that_is_not_there_is_an_error(place: Path) -> None:
    (place / "corpus" / "bell.txt").unlink()
    done = evaluate(place)
    assert done.returncode == 1
    assert "bell.txt" in done.stderr
    assert not list((place / ".ragloom").glob("runs/*"))


@pytest.mark.slow
def test_reranking_only_what_is_scored_is_refused(place: Path) -> None:
    """TRAPS 34: reranking only the k that is scored, so that Recall@k cannot change."""
    done = evaluate(place, "reranker=mmr", "retriever.top_k=5")
    assert done.returncode == 1
    assert more_than_scored("retriever.top_k=5", 5) in done.stderr
    assert not (place / ".ragloom").exists(), "it is refused before anything is ingested"
    assert evaluated(place, "reranker=mmr", "retriever.top_k=6")["counts"]["errors"] == 0
    assert evaluated(place, "reranker=none", "retriever.top_k=5")["counts"]["errors"] == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("metrics.spans=[nDGC@5]", did_you_mean("nDCG@k")),
        ("metrics.spans=[nDCG]", metric_without_number()),
        ("metrics.spans=[nDCG@0]", metric_without_number()),
        ("metrics.documents=[recall@5]", "must be in metrics.spans"),
        ("metrics.spans=[R@100tokens]", metric_without_number()),
        ("metrics.spans=[R@5,R@5]", "must name each metric once"),
        ("metrics.spans=[precision_omga]", did_you_mean("precision_omega")),
        ("metrics.spans=[precision_omega@5]", "did you mean"),
        ("metrics.answers=[exact_mach]", did_you_mean("exact_match")),
        ("metrics.min_coverage=0", greater_than("", 0)),
        ("concurrency=0", at_least("", 1)),
    ],
)
def test_wrong_metrics_are_refused_with_the_nearest_name(place: Path, override: str, said: str) -> None:
    done = evaluate(place, override)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_documents_are_retrieved_until_there_are_k_distinct_ones(tmp_path: Path) -> None:
    """One document of many chunks must not crowd out the others of a ranking of documents."""
    crowd = {"crowd.txt": "\n\n".join(f"The ferry leaves pier {number} at dawn." for number in range(30))}
    others = {f"other{number}.txt": f"A ferry, seen once near pier {number}." for number in range(3)}
    write_corpus(tmp_path, crowd | others)
    write_questions(tmp_path, [{"id": "q", "question": "ferry pier", "documents": dict.fromkeys(others, 1)}])
    chunks = ["chunking=paragraph", "chunking.chunk_size=10", "chunking.chunk_overlap=0"]
    shown = evaluated(tmp_path, *chunks, "retriever.top_k=2", "metrics.documents=[R@4,nDCG@4]")
    assert shown["metrics"]["R@4"] == 1.0
    run = (tmp_path / shown["folder"] / "run.trec").read_text("utf-8").split("\n")
    assert len([line for line in run if line]) == 4


@pytest.mark.slow
def test_answers_are_written_by_the_configs_own_depth_and_found_again(place: Path) -> None:
    first = evaluated(place, "answers=true", "retriever.top_k=2")
    lines = queries(place, first)
    assert "two tonnes" in lines[0]["answer"]
    assert lines[0]["citations"][0]["verified"]
    assert lines[0]["metrics"]["citation_recall"] == 1.0
    assert first["metrics"]["answered"] == 1.0
    assert [stage["stage"] for stage in first["stages"]] == ["chunks", "index", "rankings", "answers"]
    again = evaluated(place, "answers=true", "retriever.top_k=2")
    assert [stage["hit"] for stage in again["stages"]] == [True, True, True]
    assert [line["answer"] for line in queries(place, again)] == [line["answer"] for line in lines]
    other = evaluated(place, "answers=true", "retriever.top_k=2", "llm.max_sentences=1")
    assert [stage["hit"] for stage in other["stages"]] == [True, True, False]


def test_latency_is_a_closed_loop_of_its_own_that_states_its_n(place: Path) -> None:
    shown = evaluated(place, "latency.questions=6", "latency.concurrency=[1,2]")
    written = json.loads((place / shown["folder"] / "latency.json").read_text("utf-8"))
    assert written == shown["latency"]
    assert (written["loop"], written["n"], written["concurrency"], written["errors"]) == ("closed", 6, 1, 0)
    assert closed_loop() in evaluate(place, "latency.questions=6").stdout
    assert set(written["stages"]) >= {"total", "retrieve", "rerank", "bm25"}
    assert set(written["stages"]["total"]) == {"p50", "p95", "p99"}
    assert [item["concurrency"] for item in written["further"]] == [2]
    assert evaluated(place)["latency"] is None


def test_explain_names_the_keys_in_which_the_nearest_stage_differs(place: Path) -> None:
    evaluated(place)
    done = evaluate(place, "explain=true", "retriever.top_k=7")
    assert "index: cached" in done.stdout
    assert new_stage("rankings", "reranker.top_n: 7 / 10", "retriever.top_k: 7 / 10") in done.stdout


def test_no_secret_is_in_anything_that_is_left(place: Path) -> None:
    """TRAPS 34: environment variables and API keys written into saved configs."""
    done = evaluate(place, "answers=true", OPENAI_API_KEY="sk-planted-0123456789", MY_PASSWORD="planted-password")
    assert done.returncode == 0, done.stderr
    files = [path for path in (place / ".ragloom").rglob("*") if path.is_file()]
    assert len(files) > len(FILES)
    assert [str(path) for path in files if b"planted" in path.read_bytes()] == []


def test_table_names_metrics_counts_and_the_folder(place: Path) -> None:
    done = evaluate(place)
    assert done.returncode == 0, done.stderr
    for text in (
        "nDCG@5",
        "4, 3 with gold",
        "chunks computed, index computed, rankings computed",
        ".ragloom/runs/questions-fixed-hashing-bm25",
    ):
        assert text in done.stdout
