"""Documents that are empty, unreadable or lost: what is reported, what is an error, what is not compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import programs
from evaluation_corpus import DOCUMENTS, evaluate, evaluated, overrides, write_corpus, write_questions
from messages.dataset import gold_documents, gold_not_in_corpus, quotes_left_out
from messages.evaluation import (
    all_trials,
    looks_below_reranker,
    loses_documents,
    lost_document,
    missing_for_every_config,
    no_gold_at_all,
    no_gold_in,
    older_versions_in_index,
    searched,
    searched_documents,
    source_compared,
    unread_at_source,
)
from ragloom.components.chunking.base import SpanParser
from ragloom.components.source.base import CannotRead

pytestmark = pytest.mark.slow

BROKEN = b"%PDF-1.7 and nothing else"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with a corpus and its questions."""
    write_corpus(tmp_path)
    write_questions(tmp_path)
    return tmp_path


def run_json(place: Path, shown: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / shown["folder"] / "run.json").read_text("utf-8"))
    return found


def write_beir(folder: Path) -> None:
    """Writes a corpus in BEIR's form with two empty documents, one of them judged, as Cranfield has."""
    (folder / "qrels").mkdir(parents=True)
    texts = {**DOCUMENTS, "empty": "", "blank": " \n"}
    lines = [json.dumps({"_id": id, "title": "", "text": text}) for id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "When does the bell ring?"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tbell.txt\t1\nq\tempty\t1\n")


def test_empty_documents_exist_are_never_found_and_are_counted_and_reported(tmp_path: Path) -> None:
    write_beir(tmp_path / "made")
    own = ["dataset=beir", f"dataset.path={tmp_path / 'made'}", "workers.processes=0", "retriever=bm25"]
    done = programs.run("evaluate", *own, "metrics.documents=[R@10,RR@10]", "output=json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout.splitlines()[-1])
    assert shown["metrics"] == {"R@10": 0.5, "RR@10": 1.0}, "the empty one is relevant, and not found"
    assert shown["problems"] == ["2 documents (blank, empty) without text: in the corpus, and never found"]
    index = run_json(tmp_path, shown)["index"]
    assert (index["documents"], index["empty"]) == (6, 2)


def test_unreadable_file_is_missing_for_every_config_counted_and_reported(place: Path) -> None:
    (place / "corpus" / "broken.pdf").write_bytes(BROKEN)
    shown = evaluated(place)
    (problem,) = [line for line in shown["problems"] if "broken.pdf" in line]
    assert problem.startswith("1 document (")
    assert missing_for_every_config() in problem
    assert evaluated(place)["problems"] == shown["problems"], "also where no ingest was needed"
    assert run_json(place, shown)["problems"] == shown["problems"]
    text = evaluate(place).stdout
    assert "broken.pdf" in text


def test_gold_in_an_unreadable_file_is_an_error_that_says_why(place: Path) -> None:
    (place / "corpus" / "broken.pdf").write_bytes(BROKEN)
    write_questions(place, [{"id": "q", "question": "Which?", "gold": [("broken.pdf", "nothing")]}])
    done = evaluate(place)
    assert done.returncode == 1
    assert gold_not_in_corpus(gold_documents(1, "broken.pdf")) in done.stderr
    assert unread_at_source() in done.stderr


def test_older_version_of_a_file_that_cannot_be_read_now_is_not_measured(place: Path) -> None:
    evaluated(place)
    (place / "corpus" / "deck.txt").write_bytes(b"")
    done = evaluate(place)
    assert done.returncode == 1
    assert older_versions_in_index() in done.stderr
    assert "deck.txt" in done.stderr


@pytest.mark.parametrize("stages", ["stages=.ragloom/stages", "stages=null"])
def test_document_that_a_config_loses_after_the_source_is_an_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, stages: str
) -> None:
    chunks = SpanParser.chunks

    def lossy(self: Any, document: Any) -> Any:
        if "deck" in document.text:
            raise CannotRead("the embedding refuses it")
        return chunks(self, document)

    monkeypatch.setattr(SpanParser, "chunks", lossy)
    done = evaluate(place, stages)
    assert done.returncode == 1
    assert "1 document (" in done.stderr
    assert lost_document("deck.txt", "chunking", "the embedding refuses it") in done.stderr
    assert loses_documents() in done.stderr


def compare(place: Path, *folders: str, status: int = 0) -> programs.Done:
    done = programs.run("compare", *folders, cwd=place)
    assert done.returncode == status, done.stderr
    return done


def test_runs_that_searched_other_documents_are_refused_and_the_documents_named(place: Path) -> None:
    one = evaluated(place)
    write_corpus(place, {"extra.txt": "The ferry has a funnel."})
    other = evaluated(place, "retriever.min_score=0.1")
    assert (place / other["folder"] / "documents.txt").read_text().splitlines()[-1] == '"extra.txt"'
    done = compare(place, one["folder"], other["folder"], status=1)
    assert searched_documents() in done.stderr
    assert "(extra.txt)" in done.stderr


def test_verdict_says_so_where_sources_with_other_documents_are_compared(place: Path) -> None:
    write_corpus(place, {"extra.md": "The ferry has a funnel."})
    one = evaluated(place)
    other = evaluated(place, "source.include=['*.txt']")
    done = compare(place, one["folder"], other["folder"])
    assert source_compared() in done.stdout
    assert searched("1 document", "extra.md") in done.stdout


def test_problem_that_all_trials_share_is_reported_once_before_the_first_trial(place: Path) -> None:
    (place / "corpus" / "broken.pdf").write_bytes(BROKEN)
    done = programs.run("evaluate", *overrides(place), "-m", "chunking=fixed,paragraph", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("broken.pdf") == 1
    assert all_trials("1 document (") in done.stderr
    assert "broken.pdf" not in done.stdout
    again = evaluated(place, "-m", "chunking=fixed,paragraph")
    assert ["broken.pdf" in line for line in again["problems"]].count(True) == 1
    assert all(item["told"]["problems"] for item in again["trials"])


def test_what_would_fail_every_trial_fails_once_before_the_first(place: Path) -> None:
    write_questions(place, [{"id": "q", "question": "Which?", "gold": [("gone.txt", "nothing")]}])
    done = programs.run("evaluate", *overrides(place), "-m", "chunking=fixed,paragraph", cwd=place)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count("gone.txt") == 1
    assert not (place / ".ragloom" / "runs").exists(), "no trial was begun"


def test_missing_quotes_show_in_sweeps_and_in_compare(place: Path) -> None:
    gold = [(name, text.split(".")[0]) for name, text in DOCUMENTS.items()]
    questions = [
        {"id": f"q{at}", "question": f"{quote}?", "gold": [(name, quote)]} for at, (name, quote) in enumerate(gold)
    ]
    questions = [{**each, "id": f"{each['id']}-{n}"} for each in questions for n in range(3)]
    write_questions(place, [*questions, {"id": "lost", "question": "What?", "gold": [("deck.txt", "not there")]}])
    sweep = programs.run("evaluate", *overrides(place), "-m", "chunking=fixed,paragraph", cwd=place)
    assert sweep.returncode == 0, sweep.stderr
    assert sweep.stderr.count(quotes_left_out("1 quote (lost (in deck.txt)) is")) == 1
    folders = sorted(str(path) for path in (place / ".ragloom" / "runs").glob("questions-*"))
    done = compare(place, *folders)
    assert done.stdout.count(quotes_left_out("1 quote (lost (in deck.txt)) is")) == 1


def test_metric_that_looks_below_the_reranked_list_says_so_in_the_table(place: Path) -> None:
    own = ["reranker=mmr", "reranker.top_n=1", "retriever.top_k=2", "metrics.spans=[R@1,R@4]"]
    text = evaluate(place, *own).stdout
    assert text.count(f"({looks_below_reranker()}, on ") == 1
    assert re.search(r"R@4 +\d\.\d{4} \(looks below", text)
    swept = evaluate(place, "-m", "chunking=fixed,paragraph", *own).stdout
    assert f"(deep): the metric {looks_below_reranker()}" in swept
    assert "below_reranker" not in evaluated(place, *own, "reranker=none"), "its order goes on below"


@pytest.mark.parametrize(
    ("questions", "own", "problem"),
    [
        ([{"id": "q", "question": "Who?"}], [], no_gold_in(1)),
        ([{"id": "q", "question": "Who?", "documents": {"bell.txt": 1}}], ["metrics.documents=[]"], "graded documents"),
        ([{"id": "q", "question": "Who?"}], ["answers=true", "metrics.answers=[citation_recall]"], no_gold_at_all()),
    ],
)
def test_no_gold_for_any_requested_metric_is_an_error_before_anything_is_ingested(
    place: Path, questions: list[dict[str, Any]], own: list[str], problem: str
) -> None:
    write_questions(place, questions)
    done = evaluate(place, *own)
    assert done.returncode == 1
    assert problem in done.stderr
    assert not (place / ".ragloom").exists()


def test_questions_without_gold_are_measured_by_metrics_of_answers(place: Path) -> None:
    write_questions(place, [{"id": "q", "question": "When does the bell ring?", "answers": ["noon"]}])
    assert "f1" in evaluated(place, "answers=true")["metrics"]
