"""Messages for what people type wrongly: each names the mistake and shows what to write."""

from pathlib import Path

import pytest

from messages.config import did_you_mean
from messages.dataset import no_key_of_dataset
from programs import run

WRONG = [
    (
        ("ingest", "--chunking", "paragraph"),
        ["--chunking is no flag", "KEY=VALUE without dashes: chunking=paragraph"],
    ),
    (("evaluate", "--retriever.top_k=3"), ["--retriever.top_k is no flag", "dashes: retriever.top_k=3"]),
    (("run_query", "How long?", "--chunking=fixed"), ["--chunking is no flag", "dashes: chunking=fixed"]),
    (("run_query", "How long?", "--explian"), ["--explian is no flag", "did you mean '--explain'?"]),
    (("compare", "a", "b", "--baseline", "a"), ["--baseline is no flag", "dashes: baseline=a"]),
    (("evaluate", "chunking=fixed,paragraph"), ["add -m to run each value", "'chunking=\"fixed,paragraph\"'"]),
    (
        ("evaluate", "dataset=sample", "judge=openai"),
        ["judge=openai would never be asked", "'metrics.answers=[faithfulness,correctness]'", "judge=none"],
    ),
]


@pytest.mark.parametrize(("command", "parts"), WRONG, ids=[" ".join(command) for command, _ in WRONG])
def test_message_names_the_mistake_and_what_to_write(
    command: tuple[str, ...], parts: list[str], tmp_path: Path
) -> None:
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_secret_in_an_unknown_flag_is_masked(tmp_path: Path) -> None:
    done = run("ingest", "--llm.api_key=sk-abcdefghijklmnopqrstuvwx", cwd=tmp_path)
    assert done.returncode == 1
    assert "sk-abcdef" not in done.stderr


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ('{"id": "a", "question": "b", "answer": ["c"]}', [no_key_of_dataset("answer"), did_you_mean("answers")]),
        (
            '{"id": "a", "question": "b", "gold": [{"document": "d", "quotes": "c"}]}',
            [no_key_of_dataset("gold.0.quotes"), did_you_mean("quote")],
        ),
        (
            '{"id": "a", "question": "b", "zzz": 1}',
            [no_key_of_dataset("zzz"), "known: answerable, answers", '{"id": "q1", '],
        ),
    ],
)
def test_unknown_key_of_a_dataset_line_names_the_nearest_and_an_example(
    line: str, parts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text(line + "\n", encoding="utf-8")
    done = run("evaluate", "dataset=jsonl", "dataset.path=q.jsonl", "source=sample", cwd=tmp_path)
    assert done.returncode == 1
    for part in [*parts, "a line looks like"]:
        assert part in done.stderr
