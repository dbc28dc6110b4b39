"""Fingerprints: what shapes an index changes them, what does not leaves them."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from places import CASES, ROOT
from ragloom.assembly import Assembly
from ragloom.config.builder_keys import CONTENT, OPERATIONAL, Added, Positive, Shapes, code_version, keys_of
from ragloom.config.builder_lookup import locate
from ragloom.config.config import load
from ragloom.config.fingerprint import describe, difference, digest


def of(*overrides: str) -> str:
    (config,) = load(list(overrides))
    return Assembly(config).fingerprint


BASE = ()


@pytest.mark.parametrize(
    "override",
    [
        "chunking=paragraph",
        "chunking.chunk_size=200",
        "chunking.chunk_overlap=7",
        "analyzer=english",
        "embedding.dimensions=512",
        "embedding.embedded_metadata=[]",
        "source=jsonl",
    ],
)
def test_what_shapes_an_index_changes_the_fingerprint(override: str) -> None:
    extra = ["source.path=x.jsonl"] if override == "source=jsonl" else []
    assert of(override, *extra) != of()


@pytest.mark.parametrize(
    "override",
    [
        "retriever=dense",
        "retriever.top_k=3",
        "reranker=mmr",
        "prompt=plain",
        "llm=openai",
        "vector_store.path=elsewhere",
        "source.verify=true",
        "output=json",
    ],
)
def test_what_only_changes_queries_or_places_leaves_the_fingerprint(override: str) -> None:
    assert of(override) == of()


@pytest.mark.slow
def test_fingerprint_is_the_same_in_every_process() -> None:
    import subprocess
    import sys

    code = "from ragloom.config.config import load; from ragloom.assembly import Assembly; print(Assembly(load([])[0]).fingerprint)"
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert runs == {of() + "\n"}


@code_version(3)
def built(*, model: Annotated[str, CONTENT], size: Positive, workers: Annotated[Positive, OPERATIONAL]) -> None:
    """A builder with one key of each kind."""


def values(**changed: Any) -> dict[str, Any]:
    return {"model": "m", "size": 1, "workers": 1, **changed}


def test_raised_code_version_changes_the_description() -> None:
    before = describe(built, values())
    assert before["code_version"] == 3
    assert "workers" not in before

    def later() -> None: ...

    assert digest({"chunking": before}) != digest({"chunking": {**before, "code_version": 4}})


@code_version(1)
def kept(*, index: Annotated[dict[str, int], Shapes(lambda index: index["shards"])]) -> None:
    """A builder with a key of which a part counts."""


def test_of_a_key_that_shapes_an_index_in_part_only_that_part_counts() -> None:
    described = describe(kept, {"index": {"shards": 3, "ef": 1}})
    assert described["index"] == 3
    assert described == describe(kept, {"index": {"shards": 3, "ef": 2}})
    assert described != describe(kept, {"index": {"shards": 1, "ef": 1}})


def test_model_folder_stands_for_its_content_not_its_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "model.onnx").write_bytes(b"weights")
    one, two = (describe(built, values(model=str(tmp_path / name))) for name in ("one", "two"))
    assert one == two
    (tmp_path / "two" / "sub" / "model.onnx").write_bytes(b"other weights")
    assert describe(built, values(model=str(tmp_path / "two"))) != one
    (tmp_path / "one" / "sub" / "model.onnx").rename(tmp_path / "one" / "sub" / "renamed.onnx")
    assert describe(built, values(model=str(tmp_path / "one"))) != one


def test_difference_names_key_and_both_values() -> None:
    ours = {"chunking": {"chunk_size": 256, "builder": "fixed"}, "embedding": {"model": "a"}}
    theirs = {"chunking": {"chunk_size": 512, "builder": "fixed"}, "embedding": {}}
    assert difference(ours, theirs) == ["chunking.chunk_size: 256 / 512", "embedding.model: a / (none)"]
    assert difference(ours, ours) == []


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=6))
def test_order_of_keys_does_not_matter(tree: dict[str, Any]) -> None:
    assert digest(tree) == digest(dict(reversed(tree.items())))


def test_key_added_later_changes_an_identity_only_when_it_is_not_at_its_default() -> None:
    @code_version(1)
    def before(*, size: Positive) -> None: ...

    @code_version(1)
    def after(*, size: Positive, extra: Annotated[dict[str, Any] | None, Added(None)]) -> None: ...

    after.__name__ = before.__name__
    assert describe(after, {"size": 1, "extra": None}) == describe(before, {"size": 1})
    assert describe(after, {"size": 1, "extra": {"a": 1}})["extra"] == {"a": 1}


KEYS_BEFORE = json.loads((CASES / "keys_f425178.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group, options in KEYS_BEFORE.items() for option in options]
)
def test_key_that_an_option_gained_since_is_in_no_identity_at_its_default(group: str, option: str) -> None:
    file = ROOT / "conf" / group / f"{option}.yaml"
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    builder = locate(tree["_target_"], [])
    for key in set(keys_of(builder)) - set(KEYS_BEFORE[group][option]):
        if key not in tree:
            continue  # a preset takes it from the option that it changes
        marks = getattr(keys_of(builder)[key].annotation, "__metadata__", ())
        assert Added(tree[key]) in marks, f"{group}={option}: {key} must be marked Added({tree[key]!r})"
