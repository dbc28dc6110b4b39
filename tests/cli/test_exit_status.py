"""Exit status of programs that fail, each in a separate process: 1 after the right error, never a signal."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from messages.config import at_most
from programs import SCRIPTS
from tiny_model import make_model

pytestmark = pytest.mark.slow
LONG = "apple " * 40 + "\n"
SHORT = "the apple of a pear. a fig and a plum. the pear of the fig. "


def slowed(folder: Path, size: int = 1400, steps: int = 8) -> Path:
    """Make the tiny model compute for seconds a batch: matrix products that its output depends on."""
    import numpy as np

    model = onnx.load(make_model(folder) / "model.onnx")
    graph = model.graph
    graph.node[0].output[0] = "fast"
    graph.initializer.append(numpy_helper.from_array(np.full((size, size), 1e-4, dtype=np.float32), "matrix"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"))
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["mask"], ["one"], keepdims=0),
        helper.make_node("Mul", ["matrix", "one"], ["product0"]),
        *(helper.make_node("MatMul", [f"product{at}", "matrix"], [f"product{at + 1}"]) for at in range(steps)),
        helper.make_node("ReduceMax", [f"product{steps}"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["fast", "nothing"], ["last_hidden_state"]),
    ]
    graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx")
    return folder


def ended(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPTS / "ingest.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


def corpus(folder: Path) -> Path:
    documents = folder / "docs"
    documents.mkdir()
    (documents / "a.txt").write_text(LONG, encoding="utf-8")
    for number in range(30):
        (documents / f"b{number:02}.txt").write_text(SHORT * (20 + number), encoding="utf-8")
    return documents


MODEL = ["embedding=fastembed", "embedding.dimensions=6", "embedding.max_length=24", "embedding.batch_size=4"]
SIZES = ["chunking.chunk_size=64", "chunking.chunk_overlap=0"]


@pytest.mark.parametrize("chunking", ["semantic", "hybrid", "fixed", "paragraph", "recursive"])
def test_text_over_a_models_limit_ends_with_status_1(chunking: str, tmp_path: Path) -> None:
    model = slowed(tmp_path / "model")
    sizes = ["chunking.chunk_size=400", "chunking.chunk_overlap=0"] if chunking == "recursive" else SIZES  # characters
    keys = ["source=folder", f"source.path={corpus(tmp_path)}", f"chunking={chunking}", *sizes, *MODEL]
    done = ended(*keys, f"embedding.model={model}", cwd=tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert at_most("", 24) in done.stderr
    assert "terminate called" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("chunking", ["semantic", "fixed"])
@pytest.mark.parametrize(
    ("keys", "error"),
    [
        (
            ["embedding=openai_compatible", "embedding.base_url=http://127.0.0.1:9/v1", "embedding.attempts=1"],
            "refused",
        ),
        (["embedding=fastembed", "embedding.model=no-such-model"], "must be a folder"),
        (["embedding=hashing", "workers.memory_mb=1"], "workers"),
        (["embedding=hashing", "vector_store.path=/dev/null/index"], "vector_store"),
    ],
)
def test_failing_embedding_worker_or_store_ends_with_status_1(
    chunking: str, keys: list[str], error: str, tmp_path: Path
) -> None:
    done = ended("source=folder", f"source.path={corpus(tmp_path)}", f"chunking={chunking}", *keys, cwd=tmp_path)
    assert done.returncode == 1, done.stderr[-2000:]
    assert error in done.stderr
    assert "Traceback" not in done.stderr
