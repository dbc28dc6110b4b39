"""A tiny ONNX embedding model, made in a moment: a folder like a real one's, with numbers to compute by hand.

Its tokens are words; a token's vector is its row of `table`; the model returns the vectors of all tokens, padding
included. Its tokenizer.json cuts and pads to 4 tokens, as files of real models do, which nobody may rely on.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["apple", "pear", "plum", "fig", "the", "of", "a", "and"]]
DIMENSIONS = 6
POSITIONS = 64


def table() -> np.ndarray:
    """The vector of each word: `[words, 6] float32`; the padding's is large, so that nobody overlooks it."""
    rows = np.random.default_rng(7).standard_normal((len(WORDS), DIMENSIONS)).astype(np.float32)
    rows[0] = 1000
    return rows


def token_vectors(text: str) -> np.ndarray:
    """The model's output for one text, by hand."""
    known = {word: number for number, word in enumerate(WORDS)}
    numbers = [known.get(word, 1) for word in ["[CLS]", *text.split(), "[SEP]"]]
    return table()[numbers]


def make_model(folder: Path) -> Path:
    """Writes model.onnx, tokenizer.json and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    shape = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, DIMENSIONS])
    # The mask is no input of any node; ONNX Runtime takes it all the same, as real models do.
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [numpy_helper.from_array(table(), "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": POSITIONS, "pad_token_id": 0}))
    return folder
