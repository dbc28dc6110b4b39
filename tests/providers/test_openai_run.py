"""A whole run against a server that speaks OpenAI's protocol: answer, usage, cost, and no key anywhere."""

import json
from pathlib import Path

import pytest

import programs
from loopback import Fault, OpenAIServer, status
from programs import Done
from ragloom.core.tokenizers import load

KEY = "sk-planted-0123456789-abcdef"
ANSWER = 'It is covered for five years [1].\n\n[1] "The frame is covered for five years from the day of purchase."'
BASE = ["embedding=openai", "embedding.dimensions=64", "llm=openai", "retriever=bm25"]


def run(program: str, *arguments: str, cwd: Path, server: OpenAIServer) -> Done:
    urls = [f"embedding.base_url={server.base_url}", f"llm.base_url={server.base_url}"]
    secrets = {"OPENAI_API_KEY": KEY, "MY_DATABASE_PASSWORD": "planted-password"}
    return programs.run(program, *arguments, *BASE, *urls, cwd=cwd, **secrets)


def leaks(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return [str(path) for path in found if b"planted" in path.read_bytes()]


@pytest.mark.slow
def test_run_answers_counts_and_prices_what_the_server_reported(tmp_path: Path) -> None:
    with OpenAIServer(answer=ANSWER, api_key=KEY, count=load("cl100k_base").count) as server:
        done = run("ingest", "output=json", cwd=tmp_path, server=server)
        assert done.returncode == 0, done.stderr
        summary = done.summary
        assert summary["usage"]["embedding_tokens"] == server.tokens == summary["tokens"]
        assert summary["usage"]["cost_usd"] == pytest.approx(server.tokens * 0.02 / 1e6)
        before = server.tokens
        again = run("ingest", "output=json", cwd=tmp_path, server=server).summary
        assert again["usage"]["requests"] == 0
        assert server.tokens == before
        result = json.loads(
            run("run_query", "How long is the frame covered?", "--json", cwd=tmp_path, server=server).stdout
        )
        assert result["answer"] == "It is covered for five years [1]."
        assert [citation["verified"] for citation in result["citations"]] == [True]
        usage = result["usage"]
        assert usage["llm_input_tokens"] == server.tokens - before
        assert usage["llm_output_tokens"] == load("cl100k_base").count(ANSWER)
        dollars = usage["llm_input_tokens"] * 0.4 + usage["llm_output_tokens"] * 1.6
        assert usage["cost_usd"] == pytest.approx(dollars / 1e6)
        unknown = run("run_query", "How long?", "--json", "llm.model=my-own", cwd=tmp_path, server=server)
        assert json.loads(unknown.stdout)["usage"]["cost_usd"] is None


@pytest.mark.slow
def test_key_is_in_no_output_log_config_or_index(tmp_path: Path) -> None:
    with OpenAIServer(answer=ANSWER, api_key=KEY) as server:
        runs = [
            run("ingest", cwd=tmp_path, server=server),
            run("ingest", "-m", "chunking.chunk_size=100,200", cwd=tmp_path, server=server),
            run("ingest", "--cfg", "job", "--resolve", cwd=tmp_path, server=server),
            run("run_query", "How long is the frame covered?", "--explain", cwd=tmp_path, server=server),
            run("run_query", "How long is the frame covered?", "--stream", cwd=tmp_path, server=server),
            run("indexes", "list", cwd=tmp_path, server=server),
        ]
    for done in runs:
        assert done.returncode == 0, done.stderr
    with OpenAIServer(answer=ANSWER, api_key="another-key-is-right") as server:  # it repeats the wrong key it was sent
        failed = [
            run("ingest", "chunking=paragraph", cwd=tmp_path, server=server),
            run("run_query", "How long?", "retriever=dense", cwd=tmp_path, server=server),
            run("run_query", "How long?", "llm.api_key=sk-planted-in-an-override", cwd=tmp_path, server=server),
        ]
    for done in failed:
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
    assert not [done.arguments for done in runs + failed if "planted" in done.stdout + done.stderr]
    assert leaks(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault(break_after=8), "broke"), (Fault(end_after=8), "broke"), (status(400, message="no such thing"), "400")],
    ids=["connection cut", "ended early", "refused"],
)
def test_failed_stream_is_an_error_never_a_short_answer(tmp_path: Path, fault: Fault, reason: str) -> None:
    with OpenAIServer(answer=ANSWER, api_key=KEY) as server:
        assert run("ingest", cwd=tmp_path, server=server).returncode == 0
        server.script = [fault]
        done = run("run_query", "How long is the frame covered?", "--stream", cwd=tmp_path, server=server)
    assert done.returncode == 1
    assert done.stderr.startswith("llm: ")
    assert reason in done.stderr
    assert "Sources" not in done.stdout


def test_missing_key_is_told_before_any_document_is_read(tmp_path: Path) -> None:
    done = programs.run("ingest", "embedding=openai", cwd=tmp_path, OPENAI_API_KEY="")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert list(tmp_path.iterdir()) == []
