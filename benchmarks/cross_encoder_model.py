"""A cross-encoder of real size for timing, without a download: python cross_encoder_model.py FOLDER

The six layers of ../shared's all-MiniLM-L6-v2 with one output, as ms-marco-MiniLM-L-6-v2 has them: a pair costs what it
costs there. Its scores mean nothing. Use it by `reranker=cross_encoder reranker.model=FOLDER`.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODEL = Path(__file__).resolve().parents[2] / "shared" / "models" / "all-MiniLM-L6-v2-onnx"
DIMENSIONS = 384


def main(place: str) -> int:
    """Write model.onnx and its tokenizer."""
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copyfile(MODEL / name, folder / name)
    model = onnx.load(MODEL / "model.onnx")
    graph, hidden = model.graph, model.graph.output[0].name
    weights = np.random.default_rng(0).standard_normal((DIMENSIONS, 1)).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(weights, "head"))
    graph.initializer.append(numpy_helper.from_array(np.array(0, dtype=np.int64), "first_token"))
    graph.node.append(helper.make_node("Gather", [hidden, "first_token"], ["first"], axis=1))
    graph.node.append(helper.make_node("MatMul", ["first", "head"], ["logits"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1]))
    onnx.save(model, folder / "model.onnx")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
