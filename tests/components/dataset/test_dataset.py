"""Every form of dataset: what is read, what is refused, and gold held against stored texts."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from messages import wording
from messages.config import did_you_mean, unreadable_file, unset
from messages.dataset import (
    answer_not_in_context,
    corpus_not_a_file,
    counted_apart,
    further_dataset_problems,
    gold_documents,
    gold_not_as_stored,
    gold_not_in_corpus,
    gold_of_unanswerable,
    gold_range_form,
    gold_range_too_far,
    gold_without_place,
    graded_twice,
    not_squad,
    qrels_form,
    query_missing,
    query_not_unique,
    quote_not_at_range,
    quotes_left_out,
    quotes_several_times,
    reference_not_text,
    too_many_missing,
    unknown_dataset_key,
    unknown_split,
    without_gold,
)
from ragloom.assembly import Assembly
from ragloom.components import dataset
from ragloom.components.dataset.base import Dataset
from ragloom.config.config import load
from ragloom.core import squad_format
from ragloom.core.gold import GoldSpan, Query, gold_digest
from ragloom.core.text_normalization import normalize_text, normalized_offset
from ragloom.errors import ConfigError, DataError

TEXT = "One day. Same words. Two days. Same words. End."
LINE = {"id": "q1", "question": "Which?", "gold": [{"document": "a.md", "quote": "Two days."}]}


def made(*queries: Query, occurrence: Any = "any") -> Dataset:
    return Dataset("made", list(queries), occurrence)


def quoted(quote: str, *places: tuple[int, int], id: str = "q") -> Query:
    return Query(id, "?", (GoldSpan("a.md", places, quote),))


def write_lines(folder: Path, *records: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def own(path: Path, group: Any = "own", occurrence: Any = "any") -> Dataset:
    return dataset.jsonl(name=None, path=str(path), group=group, occurrence=occurrence, max_missing=1.0)


# --- gold against stored texts


def test_quote_found_once_stands_at_its_place() -> None:
    checked = made(quoted("Two days.")).check({"a.md": TEXT}.get)
    assert checked.queries[0].spans[0].places == ((21, 30),)
    assert TEXT[21:30] == "Two days."
    assert checked.problems == []


def test_quote_found_several_times_is_reported_and_follows_the_rule() -> None:
    for rule, places in (("any", ((9, 20), (31, 42))), ("first", ((9, 20),))):
        checked = made(quoted("Same words."), occurrence=rule).check({"a.md": TEXT}.get)
        assert checked.queries[0].spans[0].places == places
        assert quotes_several_times("1 quote (q (in a.md))") in checked.problems[0]


def test_place_that_the_dataset_names_comes_first() -> None:
    for rule, places in (("any", ((31, 42), (9, 20))), ("first", ((31, 42),))):
        checked = made(quoted("Same words.", (31, 42)), occurrence=rule).check({"a.md": TEXT}.get)
        assert checked.queries[0].spans[0].places == places


def test_quote_that_is_not_found_is_reported_and_its_question_counted_apart() -> None:
    checked = made(quoted("Three days."), quoted("Two days.", id="other")).check({"a.md": TEXT}.get)
    assert [query.judged for query in checked.queries] == [False, True]
    assert quotes_left_out("1 quote (q (in a.md)) is") in checked.problems[0]
    assert without_gold("1 question (q)") + counted_apart() in checked.problems[1]


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ("five years from purchase", "Covered for five years\nfrom purchase."),
        ("five years\nfrom purchase", "Covered for five years from purchase."),
        ("five  years from purchase", "Covered for five years\n    from\tpurchase."),
        ("5년\u00a0보증", "보증은 5년\n보증 입니다"),
        ("one page two", "one\fpage\n\ntwo"),
    ],
)
def test_quote_is_found_whatever_white_space_stands_between_its_words(quote: str, text: str) -> None:
    """What Ragloom printed as a verified citation was not found as gold where the file breaks the line."""
    checked = made(quoted(quote)).check({"a.md": normalize_text(text)}.get)
    ((start, end),) = checked.queries[0].spans[0].places
    assert normalize_text(text)[start:end].split() == quote.split()
    assert checked.problems == []


def test_quote_with_and_without_a_line_break_stands_at_both_places() -> None:
    checked = made(quoted("two days")).check({"a.md": "In two days, or two\ndays."}.get)
    assert checked.queries[0].spans[0].places == ((3, 11), (16, 24))
    blanks = made(quoted(" two ")).check({"a.md": "In two days"}.get)
    assert blanks.queries[0].spans[0].places == ((2, 7),), "as in the file, and not again without its outer blanks"


def test_range_that_reads_as_its_quote_but_for_white_space_is_right() -> None:
    checked = made(quoted("two days", (3, 11))).check({"a.md": "In two\ndays"}.get)
    assert checked.problems == []


def test_more_missing_quotes_than_allowed_are_an_error() -> None:
    queries = [quoted("Two days.", id=f"q{at}") for at in range(9)]
    with_one = [*queries, quoted("Three days.", id="lost")]
    assert Dataset("made", with_one, "any", max_missing=0.1).check({"a.md": TEXT}.get).problems
    with_two = [*with_one, quoted("Four days.", id="gone")]
    with pytest.raises(DataError, match=wording(too_many_missing("2 quotes (lost (in a.md), gone ", 11, 0.1, 1))):
        Dataset("made", with_two, "any", max_missing=0.1).check({"a.md": TEXT}.get)


def test_quote_at_another_place_than_said_is_looked_for_and_reported() -> None:
    checked = made(quoted("Two days.", (3, 12))).check({"a.md": TEXT}.get)
    assert checked.queries[0].spans[0].places == ((21, 30),)
    assert quote_not_at_range() in checked.problems[0]


def test_gold_document_that_is_missing_is_an_error_that_names_it() -> None:
    queries = [quoted("Two days."), Query("g", "?", grades={"gone.md": 1})]
    with pytest.raises(DataError, match=wording(gold_not_in_corpus(gold_documents(2, "a.md", "gone.md")))):
        made(*queries).check({}.get)
    with pytest.raises(DataError, match=wording(gold_documents(1, "gone.md"))):
        made(*queries).check({"a.md": TEXT}.get)


def test_range_outside_its_document_is_an_error() -> None:
    with pytest.raises(DataError, match=wording(gold_range_too_far("40-99", "q (in a.md)", 47))):
        made(quoted("", (40, 99))).check({"a.md": TEXT}.get)


def test_each_document_is_asked_for_once() -> None:
    asked: list[str] = []

    def text(name: str) -> str:
        asked.append(name)
        return TEXT

    made(*(quoted("Two days.", id=str(number)) for number in range(9))).check(text)
    assert asked == ["a.md"]


def test_quote_of_a_crlf_file_is_found_in_the_stored_text() -> None:
    stored = normalize_text("One\r\nTwo\r\nThree")
    checked = made(quoted("Two\r\nThree")).check({"a.md": stored}.get)
    assert checked.queries[0].spans[0].places == ((4, 13),)
    assert checked.queries[0].spans[0].blanks == ((7, 8),)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet="a가\r\n\f\0\ufeff\ufffe\ud800 ", max_size=30), data=st.data())
def test_range_shifted_by_normalisation_holds_the_normalised_quote(text: str, data: st.DataObject) -> None:
    assume(text.count("\ufeff") <= 1)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assume(not any(text[at - 1 : at + 1] == "\r\n" for at in (start, end) if at))  # half a line end has no place
    before = "a" if normalized_offset(text, start) else ""  # a byte order mark goes at the beginning only
    wanted = normalize_text(before + text[start:end]).removeprefix(before)
    assert normalize_text(text)[normalized_offset(text, start) : normalized_offset(text, end)] == wanted


# --- digest


def test_digest_is_that_of_queries_and_gold_and_nothing_else(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    records = [LINE, {"id": "q2", "question": "?", "answerable": False}]
    digest = gold_digest(own(write_lines(first, *records)).queries())
    assert gold_digest(own(write_lines(second, *reversed(records))).queries()) == digest
    for change in ({"question": "Who?"}, {"answers": ["two"]}, {"documents": {"a.md": 1}}, {"tags": {"a": "b"}}):
        assert gold_digest(own(write_lines(second, {**LINE, **change}, records[1])).queries()) != digest, change


# --- sample


def sample() -> Assembly:
    return Assembly(load(["dataset=sample"])[0])


def test_sample_asks_in_both_languages_and_its_gold_is_in_the_sample_source() -> None:
    assembly = sample()
    texts = {document.node_id: document.text for document in assembly.source.lazy_load_data()}
    checked = assembly.dataset.check(texts.get)
    queries = checked.queries
    assert len(queries) == 34
    assert sum(query.tags["language"] == "ko" for query in queries) == 16
    assert sum(query.answerable is False for query in queries) == 4
    assert all(query.judged or query.answerable is False for query in queries)
    assert {name for query in queries for name in query.documents} == set(texts)
    assert len(checked.problems) == 1
    assert "en-desk" in checked.problems[0]


# --- jsonl


def test_jsonl_reads_every_field(tmp_path: Path) -> None:
    record = {
        "id": "q1",
        "question": "언제?",
        "answers": ["내일"],
        "gold": [{"document": "a.md", "quote": "x"}, {"document": "b.md", "range": [3, 9]}],
        "documents": {"b.md": 2},
        "tags": {"language": "ko"},
        "group": "g",
    }
    (query,) = own(write_lines(tmp_path, record)).queries()
    assert query.spans == (GoldSpan("a.md", (), "x"), GoldSpan("b.md", ((3, 9),)))
    assert (query.text, query.answers, query.grades, query.answerable) == ("언제?", ("내일",), {"b.md": 2}, True)
    assert (query.group, query.tags) == ("g", {"language": "ko"})


def test_jsonl_group_is_the_lines_own_or_its_first_gold_document_or_itself(tmp_path: Path) -> None:
    path = write_lines(tmp_path, {**LINE, "group": "g"}, {**LINE, "id": "q2"}, {"id": "q3", "question": "?"})
    groups = {rule: [query.group for query in own(path, rule).queries()] for rule in ("own", "document", "query")}
    assert groups == {"own": ["g", "a.md", "q3"], "document": ["a.md", "a.md", "q3"], "query": ["q1", "q2", "q3"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ""}, ":1: id:"),
        ({"question": None}, ":1: question:"),
        ({"golden": []}, ":1: " + unknown_dataset_key("golden") + did_you_mean("gold")),
        ({"gold": [{"document": "a.md"}]}, gold_without_place(":1: gold.0")),
        ({"gold": [{"document": "a.md", "range": [5, 5]}]}, gold_range_form(":1: gold.0")),
        ({"documents": {"a.md": 0}}, ":1: documents.a.md: input should be greater than or equal to 1"),
        ({"answerable": False}, ":1: " + gold_of_unanswerable()),
        ({"tags": {"n": 5}}, ":1: tags.n:"),
    ],
    ids=str,
)
def test_jsonl_names_the_line_and_what_is_wrong_with_it(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        own(write_lines(tmp_path, {**LINE, **change}))
    assert reason in str(caught.value)


def test_jsonl_lists_every_wrong_line_and_refuses_repeated_ids_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        own(write_lines(tmp_path, *[{"id": str(number)} for number in range(25)]))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == further_dataset_problems(5)
    with pytest.raises(DataError, match=wording(query_not_unique("q1"))):
        own(write_lines(tmp_path, LINE, LINE))
    with pytest.raises(DataError, match=wording(unreadable_file())):
        own(tmp_path / "nothing.jsonl")
    with pytest.raises(DataError, match=wording(query_missing())):
        own(write_lines(tmp_path))


# --- spans


def spans_folder(folder: Path, references: list[dict[str, object]], text: str = TEXT) -> Path:
    (folder / "corpora").mkdir(exist_ok=True)
    (folder / "corpora" / "note.md").write_bytes(text.encode())
    cell = json.dumps(references).replace('"', '""')
    (folder / "questions_df.csv").write_text(f'question,references,corpus_id\nWhat?,"{cell}",note\n', encoding="utf-8")
    return folder


def spans(folder: Path, occurrence: Any = "any") -> Dataset:
    keys: dict[str, Any] = {"questions": "questions_df.csv", "corpora": "corpora", "group": "document"}
    return dataset.spans(name=None, path=str(folder), occurrence=occurrence, max_missing=1.0, **keys)


def test_spans_takes_ranges_through_normalisation(tmp_path: Path) -> None:
    text = TEXT.replace(". ", ".\r\n")
    start = text.index("Two days.")
    folder = spans_folder(tmp_path, [{"content": "Two days.", "start_index": start, "end_index": start + 9}], text)
    (query,) = spans(folder).queries()
    assert query.spans == (GoldSpan("note.md", ((21, 30),), "Two days."),)
    assert (query.id, query.group, query.tags) == ("1", "note.md", {"language": "en", "corpus": "note"})
    assert spans(folder).check({"note.md": normalize_text(text)}.get).problems == []


def test_spans_without_ranges_or_with_wrong_ones_are_looked_for(tmp_path: Path) -> None:
    folder = spans_folder(
        tmp_path, [{"content": "Two days."}, {"content": "One day.", "start_index": 7, "end_index": 15}]
    )
    checked = spans(folder).check({"note.md": TEXT}.get)
    assert [span.places for span in checked.queries[0].spans] == [((21, 30),), ((0, 8),)]
    assert quote_not_at_range("1 quote (1 (in note.md))") in checked.problems[0]


def test_spans_names_the_row_that_is_wrong(tmp_path: Path) -> None:
    folder = spans_folder(tmp_path, [{"content": " "}])
    with pytest.raises(DataError, match=wording(reference_not_text(1))):
        spans(folder)
    table = folder / "questions_df.csv"
    table.write_text('question,references,corpus_id\nWhat?,"[]",other\n', encoding="utf-8")
    with pytest.raises(DataError, match=wording(corpus_not_a_file(1, "other"))):
        spans(folder)
    table.write_text("question,corpus_id\n", encoding="utf-8")
    with pytest.raises(DataError, match="it lacks references"):
        spans(folder)


# --- beir


def beir_folder(folder: Path, qrels: str) -> Path:
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf-8")
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Title", "text": "Body."}\n{"_id": "d2", "title": "", "text": "No title."}\n',
        encoding="utf-8",
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one?"}\n{"_id": "q2", "text": "둘?"}\n{"_id": "q3", "text": "train"}\n',
        encoding="utf-8",
    )
    return folder


def beir(folder: Path, split: str = "test") -> Dataset:
    return dataset.beir(name=None, path=str(folder), split=split, group="document")


def test_beir_reads_the_questions_of_a_split_with_their_grades(tmp_path: Path) -> None:
    read = beir(beir_folder(tmp_path, "q2\td1\t1\nq2\td2\t2\nq1\td1\t0\n"))
    assert [(query.id, query.grades, query.group) for query in read.queries()] == [
        ("q1", {}, "q1"),
        ("q2", {"d1": 1, "d2": 2}, "d2"),
    ]
    assert [query.tags["language"] for query in read.queries()] == ["en", "ko"]
    assert without_gold("1 question (q1)") in read.check({"d1": "x", "d2": "y"}.get).problems[0]


@pytest.mark.parametrize(
    ("qrels", "reason"),
    [
        ("q1 d1 1\n", qrels_form("test.tsv:2")),
        ("q1\td1\tyes\n", qrels_form("test.tsv:2")),
        ("q1\td1\t1\nq1\td1\t2\n", graded_twice("test.tsv:3", "d1")),
        ("q9\td1\t1\n", "1 question (q9) of"),
    ],
)
def test_beir_names_what_is_wrong_with_qrels(tmp_path: Path, qrels: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        beir(beir_folder(tmp_path, qrels))
    assert reason in str(caught.value)


def test_beir_split_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=wording(unknown_split("dev", "test"))):
        beir(beir_folder(tmp_path, "q1\td1\t1\n"), "dev")


# --- squad


def squad_file(folder: Path, *articles: dict[str, Any]) -> Path:
    path = folder / "made.json"
    path.write_text(json.dumps({"version": "2", "data": articles}, ensure_ascii=False), encoding="utf-8")
    return path


def paragraph(context: str, **questions: list[str]) -> dict[str, Any]:
    """A paragraph whose questions, by id, have these answers at their first places."""
    return {
        "context": context,
        "qas": [
            {
                "id": id,
                "question": f"{id}?",
                "is_impossible": not answers,
                "answers": [{"text": answer, "answer_start": context.index(answer)} for answer in answers],
            }
            for id, answers in questions.items()
        ],
    }


def read_squad(path: Path, document: Any, group: Any = "document", max_missing: float = 1.0) -> Dataset:
    return dataset.squad(
        name=None, path=str(path), document=document, group=group, max_missing=max_missing, max_file_mb=1.0
    )


ARTICLES = (
    {
        "title": "임종석",
        "paragraphs": [
            paragraph("첫 문단.\r\n둘째 줄.", a=["둘째"], b=["첫", "첫 문단"]),
            paragraph("Next paragraph.", c=["paragraph"], d=[]),
        ],
    },
    {"title": "임종석", "paragraphs": [paragraph("Next paragraph.", e=["Next"])]},
)


def texts_of(path: Path, unit: squad_format.Unit) -> dict[str, str]:
    documents, _ = squad_format.read(path, unit, 10**6, "dataset")
    return {document.id: document.text for document in documents}


def test_squad_context_is_a_document_and_a_repeated_one_is_the_same(tmp_path: Path) -> None:
    path = squad_file(tmp_path, *ARTICLES)
    assert texts_of(path, "context") == {"임종석/1": "첫 문단.\n둘째 줄.", "임종석/2": "Next paragraph."}
    queries = {query.id: query for query in read_squad(path, "context").queries()}
    assert queries["e"].grades == {"임종석/2": 1}
    assert queries["e"].group == "임종석/2"
    assert queries["c"].spans == (GoldSpan("임종석/2", ((5, 14),)),)


def test_squad_article_joins_its_paragraphs_and_shifts_the_spans(tmp_path: Path) -> None:
    path = squad_file(tmp_path, *ARTICLES)
    texts = texts_of(path, "article")
    assert list(texts) == ["임종석", "임종석 (2)"]
    assert texts["임종석"] == "첫 문단.\n둘째 줄.\n\nNext paragraph."
    checked = read_squad(path, "article", "article").check(texts.get)
    for query in checked.queries:
        for span in query.spans:
            found = [texts[span.document][slice(*place)] for place in span.places]
            assert tuple(found) == query.answers
    assert {query.group for query in checked.queries} == {"임종석", "임종석 (2)"}


def test_squad_answers_of_several_annotators_are_places_of_one_span(tmp_path: Path) -> None:
    queries = {query.id: query for query in read_squad(squad_file(tmp_path, *ARTICLES), "context").queries()}
    assert queries["b"].spans == (GoldSpan("임종석/1", ((0, 1), (0, 4))),)
    assert queries["b"].answers == ("첫", "첫 문단")


def test_squad_question_without_an_answer_has_no_gold(tmp_path: Path) -> None:
    queries = {query.id: query for query in read_squad(squad_file(tmp_path, *ARTICLES), "context").queries()}
    assert (queries["d"].answerable, queries["d"].judged, queries["d"].group) == (False, False, "임종석/2")


def test_squad_answer_that_is_not_in_its_context_is_reported(tmp_path: Path) -> None:
    article = {"title": "t", "paragraphs": [paragraph("one two one", a=["one"])]}
    article["paragraphs"][0]["qas"][0]["answers"] = [  # type: ignore[index]
        {"text": "three", "answer_start": 0},
        {"text": "one", "answer_start": 7},
    ]
    read = read_squad(squad_file(tmp_path, article), "context")
    assert read.queries()[0].spans == (GoldSpan("t/1", ((8, 11),)),)  # the nearest place that reads so
    assert answer_not_in_context("a", "three") in read.problems[0]


def test_more_squad_answers_missing_than_allowed_are_an_error(tmp_path: Path) -> None:
    article = copy.deepcopy(ARTICLES[0])
    article["paragraphs"][0]["qas"][0]["answers"] = [{"text": "never there", "answer_start": 0}]
    path = squad_file(tmp_path, article)
    assert read_squad(path, "context").problems
    with pytest.raises(DataError, match="dataset.max_missing=0.1 allows 0"):
        read_squad(path, "context", max_missing=0.1)


def test_squad_refuses_a_stored_text_that_is_another(tmp_path: Path) -> None:
    read = read_squad(squad_file(tmp_path, *ARTICLES), "context")
    with pytest.raises(DataError, match=wording(gold_not_as_stored(gold_documents(1, "임종석/1")))):
        read.check({"임종석/1": "첫 문단. 둘째 줄.", "임종석/2": "Next paragraph."}.get)


@pytest.mark.parametrize("content", ["[]", "{", '{"data": [{"title": "t"}]}', '{"data": 5}'])
def test_squad_refuses_another_form(tmp_path: Path, content: str) -> None:
    path = tmp_path / "made.json"
    path.write_text(content)
    with pytest.raises(DataError, match=wording(not_squad())):
        read_squad(path, "context")


# --- the dataset brings its source


@pytest.mark.parametrize("option", ["spans", "beir", "squad"])
def test_dataset_brings_its_own_source(option: str) -> None:
    (config,) = load([f"dataset={option}", "dataset.path=some/place"])
    assert config.choices["source"] == option
    assert config.values("source")["path"] == "some/place"


def test_dataset_leaves_a_source_that_is_chosen() -> None:
    (config,) = load(["dataset=squad", "dataset.path=x.json", "source=folder", "source.path=."])
    assert config.choices["source"] == "folder"
    (config,) = load(["source=folder", "source.path=."])
    assert (config.choices["source"], config.choices["dataset"]) == ("folder", "sample")
    (config,) = load(["experiment=baseline_offline", "dataset=squad", "dataset.path=x.json"])
    assert config.choices["source"] == "squad"


def test_dataset_path_must_be_set_and_is_asked_for_once() -> None:
    for option in ("spans", "beir", "squad", "jsonl"):
        with pytest.raises(ConfigError) as caught:
            load([f"dataset={option}"])
        assert caught.value.problems == ("dataset: " + unset("dataset.path"),)
    with pytest.raises(ConfigError, match=wording("source: " + unset("source.path"))):
        load(["source=squad"])


def test_dataset_shapes_no_index() -> None:
    alone, with_dataset = (
        Assembly(load([*choice, "source=sample"])[0]).index_name
        for choice in ([], ["dataset=beir", "dataset.path=x", "dataset.split=train"])
    )
    assert alone == with_dataset


def test_squad_source_reads_what_the_dataset_asks_about(tmp_path: Path) -> None:
    path = squad_file(tmp_path, *ARTICLES)
    for unit in ("context", "article"):
        assembly = Assembly(load(["dataset=squad", f'dataset.path="{path}"', f"dataset.document={unit}"])[0])
        texts = {document.node_id: document.text for document in assembly.source.lazy_load_data()}
        assert assembly.dataset.check(texts.get).problems == []
        assert assembly.source.name == "made"


def test_beir_source_puts_the_title_before_the_text(tmp_path: Path) -> None:
    folder = beir_folder(tmp_path, "q1\td1\t1\n")
    for separator, first in (('" "', "Title Body."), ("null", "Body."), ('": "', "Title: Body.")):
        overrides = ["dataset=beir", f'dataset.path="{folder}"', f"source.title_separator={separator}"]
        documents = list(Assembly(load(overrides)[0]).source.lazy_load_data())
        assert [document.text for document in documents] == [first, "No title."]
        assert [document.metadata for document in documents] == [{"title": "Title"}, {}]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("squad", {"q.json": f'{{"data": {DEEP}'}),
        ("jsonl", {"q.jsonl": DEEP}),
        ("beir", {"corpus.jsonl": '{"_id": "a", "text": "t"}', "queries.jsonl": DEEP, "qrels/test.tsv": "q\tc\ts\n"}),
    ],
)
def test_dataset_nested_without_end_is_an_error_that_names_the_file(
    name: str, files: dict[str, str], tmp_path: Path
) -> None:
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    path = tmp_path if name == "beir" else tmp_path / next(iter(files))
    with pytest.raises(DataError, match=path.name):
        Assembly(load([f"dataset={name}", f'dataset.path="{path}"', "source=sample"])[0]).dataset  # noqa: B018
