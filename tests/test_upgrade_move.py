"""All that was written at 0fa5703, before every module moved, is read: nothing is embedded, asked or computed again."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from messages.comparison import runs_of_one_config
from places import SAMPLE, UPGRADE
from programs import run
from ragloom.assembly import Assembly
from ragloom.comparison import compare
from ragloom.comparison.run_loader import distinct, load_run
from ragloom.config.config import load
from ragloom.config.fingerprint import digest
from ragloom.evaluation.index_sync import index_key
from ragloom.evaluation.runner import trial_digest
from upgrade.make_0fa5703 import BASE, MODIFIED, OTHER, SOURCE, SWEEP, prepared
from weaviate_servers import Address
from weaviate_tools import replayed

RECORDED = json.loads((UPGRADE / "0fa5703.json").read_text(encoding="utf-8"))
DONE = {label: (trial, run) for label, (trial, state, run) in RECORDED["trials"].items() if state == "done"}


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What 0fa5703 left, here; the server that embedded and judged then is gone."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test-0123456789")
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)
    with tarfile.open(UPGRADE / "0fa5703.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = str(tmp_path / "docs")
    for file in (tmp_path / "store").glob("*/index.json"):
        change(file, "root", RECORDED["root"], root)
    for file in (tmp_path / "stages" / "index").glob("*/key.json"):
        key = change(file, "listed", listed(RECORDED["root"]), listed(root))
        file.parent.rename(file.parent.with_name(sha256(canonical(key))[:32]))
    yield tmp_path
    assert (tmp_path / "docs" / "en" / "warranty.md").stat().st_mtime == MODIFIED


def change(file: Path, key: str, then: str, now: str) -> dict[str, Any]:
    """Has a record say that the documents lie here; it said then what a record of then must say."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert content[key] == then
    content[key] = now
    file.write_text(json.dumps(content), encoding="utf-8")
    return content


def listed(root: str) -> str:
    """The digest of what the source lists, as 0fa5703 made it, of documents at a place."""
    lines = [root]
    for id in ("en/refunds.txt", "en/warranty.md", "ko/refunds.txt", "ko/safety.md"):
        size = (UPGRADE / "docs" / id).stat().st_size
        entry = {"id": id, "location": f"{root}/{id}", "mtime_ns": MODIFIED * 10**9, "offset": 0, "size": size}
        lines.append(canonical(["Entry", entry]))
    return sha256("\n".join(lines))


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def evaluated(*arguments: str) -> dict[str, Any]:
    """The last event of an evaluation."""
    done = run("evaluate", *BASE, *arguments, cwd=Path.cwd())
    assert done.stdout, done.stderr
    event: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return event


def demand_found(stages: list[dict[str, Any]]) -> None:
    assert {stage["stage"] for stage in stages} == {"index", "rankings", "answers", "verdicts"}
    assert [(stage["hit"], stage["made"], stage["damaged"]) for stage in stages] == [(True, 0, 0)] * len(stages)


def test_name_of_an_index_is_the_digest_of_what_was_recorded() -> None:
    assert RECORDED["index"] == f"docs-{digest(RECORDED['description'])}"


def test_repeated_evaluation_computes_nothing_and_takes_the_place_of_the_run(before: Path) -> None:
    stamped = {path: path.stat().st_mtime_ns for path in before.glob("stages/*/*/items.sqlite")}
    found = evaluated(*OTHER)
    demand_found(found["stages"])
    assert (found["folder"], found["errors"]) == (RECORDED["other"], [])
    assert len(list((before / "runs").glob("*/run.json"))) == 3
    assert set(stamped) == set(before.glob("stages/*/*/items.sqlite")), "no stage was begun"


def test_repeated_sweep_finishes_from_its_log(before: Path) -> None:
    swept = evaluated("-m", *SWEEP)
    assert swept["sweep"] == RECORDED["sweep"]
    trials = {item["label"]: [item["trial"], item["state"], item["run"]] for item in swept["trials"]}
    assert trials == RECORDED["trials"]
    for item in swept["trials"]:
        if item["state"] == "failed":
            assert item["left_out"]
        else:
            demand_found(item["told"]["stages"])
    assert len(list((before / "runs").glob("*/run.json"))) == 3


def test_run_folder_of_before_and_of_now_are_runs_of_one_config(before: Path) -> None:
    shutil.copytree(before / "runs", before / "old")
    evaluated(*OTHER)
    evaluated("-m", *SWEEP)
    old = [load_run(before / "old" / Path(folder).name) for _, folder in DONE.values()]
    now = [load_run(before / folder) for _, folder in DONE.values()]
    assert [run.identity for run in old] == [run.identity for run in now]
    assert len({run.identity for run in old}) == len(old)
    runs, notes = distinct([*old, *now])
    assert len(runs) == len(old)
    assert all(runs_of_one_config() in note and "differ" not in note for note in notes)
    other = before / RECORDED["other"]
    settings = {**load([])[0].tree["comparison"], "resamples": 1000}
    found = compare([old[0].folder, now[0].folder, other], settings)
    assert [label.split()[0] for label in found.labels] == ["fixed", "paragraph"]


def test_source_is_unchanged_and_its_index_ranks_as_before(before: Path) -> None:
    summary = run("ingest", *BASE, cwd=before).summary
    assert (summary["index"], summary["unchanged"], summary["embedded"]) == (RECORDED["index"], 4, 0)
    (config,) = load(list(BASE))
    folder = before / DONE["reranker=none vector_store.path=store"][1]
    with Assembly(config) as assembly:
        engine = assembly.query_engine(assembly.open(), answering=False)
        for line in map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()):
            found = [node.node.node_id for node in engine.search(line["text"]).nodes]
            assert found == [chunk["chunk"] for chunk in line["chunks"][: len(found)]]
            assert found


def test_lost_store_is_filled_from_the_embedding_cache_and_the_kept_chunks(before: Path) -> None:
    (config,) = load(list(BASE))
    shutil.rmtree(before / "store")
    with Assembly(config) as assembly:
        summary = assembly.ingest()
    assert (summary.added, summary.embedded, summary.usage.cache.hits) == (4, 0, RECORDED["chunks"])
    shutil.rmtree(before / "store")
    found = evaluated()
    (chunks,) = [stage for stage in found["stages"] if stage["stage"] == "chunks"]
    assert (chunks["hit"], chunks["made"]) == (True, 0)
    assert found["run"] == Path(DONE["reranker=none vector_store.path=store"][1]).name
    assert found["errors"] == []


def test_recommended_experiment_composes_to_the_run_that_it_was_made_of(before: Path) -> None:
    (composed,) = load([*BASE, "experiment=recommended"], extra_dir=str(before / "comparison"))
    (config,) = load(list(BASE))
    assert composed.tree == config.tree
    trial, folder = DONE["reranker=none vector_store.path=store"]
    assert trial_digest(config) == trial
    (alone,) = load(["experiment=recommended"], extra_dir=str(before / "comparison"))
    recorded = yaml.safe_load((before / folder / "config.yaml").read_text(encoding="utf-8"))
    for group in ("chunking", "analyzer", "embedding", "vector_store", "retriever", "reranker", "llm", "prompt"):
        ours, theirs = ({**tree[group], "_target_": None} for tree in (alone.public(), recorded))
        assert ours == theirs


def test_sample_is_listed_as_where_it_was() -> None:
    """It moved within the package: an evaluation of it made before is not made again."""
    package, sample = SAMPLE.parents[2], SAMPLE
    lines = ["ragloom:sample"]
    for file in sorted(file for file in sample.rglob("*") if file.is_file()):
        id, content = file.relative_to(sample).as_posix(), file.read_bytes()
        location = str(package / "sample" / id)
        entry = {"id": id, "location": location, "mtime_ns": None, "offset": 0, "size": len(content)}
        lines.append(canonical(["Entry", entry, hashlib.sha256(content).hexdigest()]))
    (config,) = load([])
    assert index_key(Assembly(config))["listed"] == sha256("\n".join(lines))


@pytest.mark.weaviate
def test_weaviate_collections_are_read(tmp_path: Path, weaviate_server: Address, prefix: str) -> None:
    prepared(tmp_path)
    root = str(tmp_path / "docs")
    recorded = replayed(UPGRADE / "weaviate_0fa5703.json.xz", weaviate_server.url, prefix, root)
    server = weaviate_server.overrides(collection_prefix=prefix)
    (config,) = load([*SOURCE, f'source.path="{root}"', "embedding.dimensions=64", *server])
    with Assembly(config) as assembly:
        assert assembly.index_name == recorded["index"]
        index = assembly.open()
        assert (index.info.documents, index.info.chunks) == (4, recorded["chunks"])
        summary = assembly.ingest()
        assert (summary.unchanged, summary.embedded, summary.chunks) == (4, 0, recorded["chunks"])
        engine = assembly.query_engine(assembly.open(), answering=False)
        assert engine.search("How long is the frame covered?").nodes[0].node.ref_doc_id == "en/warranty.md"
    assert len(weaviate_server.collections(prefix)) == len(recorded["classes"]), "no further collection was made"
