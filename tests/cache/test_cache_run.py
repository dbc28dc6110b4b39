"""Whole runs with the cache: a sweep pays each text once, a killed run pays for what was in flight, and `cache.py`."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import programs
from loopback import OpenAIServer, slow
from messages.cache import (
    cache_line,
    cache_not_used,
    embedded_line,
    empty_cache,
    finite_number,
    not_empty,
    nothing_to_prune_by,
    removed_vectors,
    set_aside,
    true_or_false,
    unwritable_cache,
)
from messages.config import did_you_mean, greater_than, must_be_mapping
from places import ROOT
from programs import Done
from ragloom.assembly import Assembly
from ragloom.cache.embeddings.embedding_cache import ModelCache
from ragloom.config.config import load
from ragloom.core.tokenizers import load as load_tokenizer

pytestmark = pytest.mark.slow

ROOT = ROOT
KEY = "sk-planted-0123456789-abcdef"
BASE = ["embedding=openai", "embedding.dimensions=64", "retriever=dense"]
CHUNKINGS = ["fixed", "paragraph", "recursive", "semantic", "hybrid"]


def run(program: str, *arguments: str, cwd: Path, server: OpenAIServer) -> Done:
    keys = [*BASE, f"embedding.base_url={server.base_url}"]
    return programs.run(program, *arguments, *keys, cwd=cwd, OPENAI_API_KEY=KEY)


def ingest(*arguments: str, cwd: Path, server: OpenAIServer) -> dict[str, Any]:
    done = run("ingest", "output=json", *arguments, cwd=cwd, server=server)
    assert done.returncode == 0, done.stderr
    return done.summary


def cache(*arguments: str, cwd: Path) -> Any:
    done = programs.run("cache", *arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def times_sent(server: OpenAIServer) -> Counter[str]:
    return Counter(text for request in server.requests for text in request.body["input"])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer(api_key=KEY, count=load_tokenizer("cl100k_base").count) as running:
        yield running


def test_sweep_over_chunkings_pays_each_distinct_text_once(tmp_path: Path, server: OpenAIServer) -> None:
    done = run("ingest", "-m", f"chunking={','.join(CHUNKINGS)}", cwd=tmp_path, server=server)
    assert done.returncode == 0, done.stderr
    first = times_sent(server)
    assert len(first) > 50
    assert set(first.values()) == {1}
    for chunking in CHUNKINGS:  # into other stores: nothing is in an index, all is in the cache
        summary = ingest(f"chunking={chunking}", "vector_store.path=elsewhere", cwd=tmp_path, server=server)
        assert summary["usage"]["requests"] == 0
        assert summary["embedded"] == summary["tokens"] == 0
        looked_up = summary["usage"]["cache"]
        assert looked_up["hits"] >= summary["chunks"] > 0
        assert looked_up["misses"] == looked_up["damaged"] == looked_up["unavailable"] == 0
        assert looked_up["saved_usd"] == pytest.approx(looked_up["saved_tokens"] * 0.02 / 1e6)
    assert times_sent(server) == first


def test_summary_counts_embedded_texts_apart_from_cache_hits(tmp_path: Path, server: OpenAIServer) -> None:
    first = ingest(cwd=tmp_path, server=server)
    assert (first["usage"]["cache"]["hits"], first["usage"]["cache"]["misses"]) == (0, first["chunks"])
    assert first["tokens"] == server.tokens
    (tmp_path / ".ragloom" / "cache" / "vectors.sqlite").write_bytes(b"garbage")
    second = ingest("vector_store.path=elsewhere", cwd=tmp_path, server=server)
    assert second["usage"]["cache"]["damaged"] == second["chunks"] == second["embedded"]
    assert second["tokens"] == first["tokens"]
    text = run("ingest", "vector_store.path=third", cwd=tmp_path, server=server).stdout
    saved = f"{first['chunks']} hits, 0 misses, {first['tokens']} tokens saved, ${first['tokens'] * 0.02 / 1e6:.6f}"
    assert saved in text
    assert embedded_line(0, 0, 0, 0, "0.000000") in text
    off = run("ingest", "vector_store.path=fourth", "cache.enabled=false", cwd=tmp_path, server=server).stdout
    assert cache_not_used("cache.enabled=false") in off
    hashing = programs.run("ingest", cwd=tmp_path).stdout
    assert cache_not_used("this embedding is cheap") in hashing


def test_summary_shows_damage_and_an_unknown_price(tmp_path: Path, server: OpenAIServer) -> None:
    unknown = "embedding.model=my-own"
    first = ingest(unknown, cwd=tmp_path, server=server)
    (tmp_path / ".ragloom" / "cache" / "vectors.sqlite").write_bytes(b"garbage")
    summary = run("ingest", unknown, "vector_store.path=second", cwd=tmp_path, server=server).stdout
    damaged = (
        f"0 hits, {first['chunks']} misses, 0 tokens saved, $0.000000; {first['chunks']} of the misses were damaged"
    )
    assert damaged in summary
    summary = run("ingest", unknown, "vector_store.path=third", cwd=tmp_path, server=server).stdout
    assert cache_line(first["chunks"], 0, first["tokens"], "unknown price") in summary


def test_equal_questions_of_several_runs_are_paid_once(tmp_path: Path, server: OpenAIServer) -> None:
    ingest(cwd=tmp_path, server=server)
    before = len(server.requests)
    for _ in range(2):
        done = run(
            "run_query", "How long is the frame covered?", "--json", "--retrieve-only", cwd=tmp_path, server=server
        )
        assert done.returncode == 0, done.stderr
    assert len(server.requests) == before + 1
    assert json.loads(done.stdout)["usage"]["cache"]["hits"] == 1


def test_ingest_killed_between_responses_pays_only_for_what_was_in_flight(tmp_path: Path, server: OpenAIServer) -> None:
    lines = [json.dumps({"id": str(number), "text": f"Document number {number}."}) for number in range(60)]
    (tmp_path / "d.jsonl").write_text("\n".join(lines), encoding="utf-8")
    keys = ["source=jsonl", "source.path=d.jsonl", "embedding.batch_size=5", "embedding.concurrency=1"]
    keys += [f"embedding.base_url={server.base_url}"]
    server.script = [None] * 4 + [slow(60)] + [None] * 20
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "ingest.py"), *BASE, *keys],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while len(server.requests) < 5:
        assert process.poll() is None, "the ingest ended by itself"
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    summary = ingest(*keys, cwd=tmp_path, server=server)
    assert summary["chunks"] == 60
    assert summary["usage"]["cache"]["hits"] == 20
    assert summary["usage"]["requests"] == 8
    sent = times_sent(server)
    in_flight = server.requests[4].body["input"]
    assert {text: times for text, times in sent.items() if times > 1} == dict.fromkeys(in_flight, 2)
    assert len(sent) == 60


DOCUMENTS = {
    "stays.txt": "Cats sleep all day. Cats purr at night. Bonds pay interest. Bonds mature late. Stocks rise and fall.",
    "goes.txt": "Dogs bark at noon. Dogs run in circles. Gold is heavy. Silver is lighter. Rivers flow to the sea.",
    "moves.txt": "Birds sing at dawn. Birds fly south. Iron rusts slowly. Copper turns green. Clouds gather in the west.",
}


@pytest.mark.parametrize("chunking", ["paragraph", "semantic"])
def test_deleted_documents_texts_are_forgotten(tmp_path: Path, server: OpenAIServer, chunking: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in DOCUMENTS.items():
        (docs / name).write_text(text, encoding="utf-8")
    size = ["chunking.chunk_size=12", "chunking.chunk_overlap=0"] + ["chunking.min_size=3"] * (chunking == "semantic")
    keys = ["source=folder", "source.path=docs", f"chunking={chunking}", *size]
    ingest(*keys, cwd=tmp_path, server=server)
    paid = times_sent(server)
    (docs / "goes.txt").unlink()
    (docs / "moves.txt").rename(docs / "moved.txt")
    summary = ingest(*keys, cwd=tmp_path, server=server)
    assert (summary["deleted"], summary["moved"], summary["usage"]["requests"]) == (1, 1, 0)
    cache = _open(tmp_path, server, *keys)
    gone = {text for text in paid if text in DOCUMENTS["goes.txt"]}
    assert len(gone) >= (5 if chunking == "semantic" else 3)
    assert {text for text in paid if not cache.contains([text])[0]} == gone


def _open(folder: Path, server: OpenAIServer, *keys: str) -> ModelCache:
    """Open the cache of the program's config in this process."""
    (config,) = load(
        [*BASE, f"embedding.base_url={server.base_url}", f"cache.path={folder / '.ragloom' / 'cache'}", *keys]
    )
    cache: ModelCache = Assembly(config).embedding.cache
    return cache


# cache.py


def test_show_verify_and_prune(tmp_path: Path, server: OpenAIServer) -> None:
    chunks = ingest(cwd=tmp_path, server=server)["chunks"]
    ingest("vector_store.path=elsewhere", cwd=tmp_path, server=server)
    shown = cache("show", cwd=tmp_path)
    assert (shown["entries"], shown["hits"], shown["max_bytes"]) == (chunks, chunks, 10**10)
    (model,) = shown["models"]
    assert (model["name"], model["entries"], model["hits"]) == ("text-embedding-3-small", chunks, chunks)
    text = programs.run("cache", "show", cwd=tmp_path).stdout
    assert text.startswith(f".ragloom/cache: {chunks} vectors, ")
    assert f"{model['id']}  text-embedding-3-small" in text
    assert cache("verify", cwd=tmp_path) == {"entries": chunks, "damaged": 0, "taken_back": 0}
    assert cache("prune", "--unused-days", "1", cwd=tmp_path)["entries"] == 0
    assert cache("prune", "--model", model["id"][:5], cwd=tmp_path)["entries"] == chunks
    assert cache("show", cwd=tmp_path)["models"] == []
    ingest("vector_store.path=third", cwd=tmp_path, server=server)
    done = programs.run("cache", "prune", "--max-gb", "0", cwd=tmp_path)
    assert done.stdout.startswith(removed_vectors(chunks, "0."))


def test_verify_reports_damage_and_ends_with_three(tmp_path: Path, server: OpenAIServer) -> None:
    chunks = ingest(cwd=tmp_path, server=server)["chunks"]
    path = tmp_path / ".ragloom" / "cache" / "vectors.sqlite"
    path.write_bytes(b"garbage" + path.read_bytes()[7:])
    shown = programs.run("cache", "show", cwd=tmp_path)
    assert shown.returncode == 1
    assert len(shown.stderr.splitlines()) == 1
    assert set_aside() in shown.stderr
    assert "a damaged file of" in programs.run("cache", "show", cwd=tmp_path).stdout
    verified = programs.run("cache", "verify", cwd=tmp_path)
    assert verified.returncode == (3 if "0 were damaged" not in verified.stdout else 0)
    assert cache("verify", cwd=tmp_path)["damaged"] == 0
    summary = ingest("vector_store.path=elsewhere", cwd=tmp_path, server=server)
    assert summary["chunks"] == chunks


def test_show_verify_and_prune_create_no_cache(tmp_path: Path) -> None:
    assert cache("show", cwd=tmp_path)["entries"] == 0
    assert cache("verify", cwd=tmp_path)["entries"] == 0
    assert cache("prune", "--max-gb", "1", cwd=tmp_path)["entries"] == 0
    assert programs.run("cache", "show", "cache.path=x", cwd=tmp_path).stdout == empty_cache("x", 10000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], nothing_to_prune_by()),
        (["prune", "--max-gb", "-1"], "--max-gb"),
        (["show", "cache.max_gb=0"], "config: " + greater_than("cache.max_gb=0", 0)),
        (["show", "cache.max_gb=inf"], "config: " + finite_number("cache.max_gb=inf")),
        (["show", "cache.path=''"], "config: " + not_empty("cache.path=''")),
        (["show", "cache.enabled=maybe"], "config: " + true_or_false("cache.enabled='maybe'")),
        (["show", "cache.pth=x"], did_you_mean("cache.path")),
        (["show", "cache=null"], "config: " + must_be_mapping("cache=None")),
        (["shew"], "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_argument_is_an_error_with_its_rule(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = programs.run("cache", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_folder_that_cannot_be_written_is_an_error_before_anything_is_paid(
    tmp_path: Path, server: OpenAIServer
) -> None:
    (tmp_path / "file").write_text("x")
    done = run("ingest", "cache.path=file", cwd=tmp_path, server=server)
    assert done.returncode == 1
    assert done.stderr.startswith(unwritable_cache("'file'"))
    assert len(done.stderr.strip().splitlines()) == 1
    assert server.requests == []
