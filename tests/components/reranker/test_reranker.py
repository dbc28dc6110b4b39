"""What the `reranker` group promises. The cross-encoder is a tiny ONNX model made here, whose scores are sums."""

import asyncio
import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

import ragloom.components.reranker as builders
import ragloom.components.retriever as retrievers
from fakes import FakeIndex, LetterEmbedding, chunk, cosine
from messages import wording
from messages.config import did_you_mean, install_extra
from messages.embedding import model_needed, not_loaded, pairs_too_long, question_too_long, unreadable_model
from ragloom.components.reranker.llm_reranker import first_tokens, ranking
from ragloom.components.reranker.mmr_reranker import select
from ragloom.config.key_rules import key_problems
from ragloom.core.tokenizers import load
from ragloom.errors import ConfigError, DataError, ServiceError

TEXTS = ["apple pie", "apple pie with bread", "zebra crossing", "bread of the baker", "pie", "a zebra eats an apple"]
CHUNKS = [chunk(f"{number}.md", 0, text, heading="Food > Sweet") for number, text in enumerate(TEXTS)]


def retriever(chunks=CHUNKS, top_k=10):
    return retrievers.dense(FakeIndex(chunks), LetterEmbedding(), top_k=top_k, filters=None, min_score=None)


def found(question="apple pie", **keys):
    return retriever(**keys).retrieve(question)


def documents(nodes):
    return [node.node.ref_doc_id for node in nodes]


# ---- none ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top_n", [1, 3, 6, 100])
def test_none_keeps_order_and_scores_and_cuts_to_top_n(top_n):
    nodes = found()
    assert builders.none(top_n=top_n).postprocess_nodes(nodes, query_str="apple pie") == nodes[:top_n]
    assert builders.none(top_n=top_n).postprocess_nodes(nodes) == nodes[:top_n]


# ---- mmr -------------------------------------------------------------------------------------------------------------


def mmr(chunks=CHUNKS, embedding=None, *, top_n=10, weight=0.5):
    return builders.mmr(embedding or LetterEmbedding(), FakeIndex(chunks), top_n=top_n, relevance_weight=weight)


def test_mmr_picks_by_relevance_less_the_highest_likeness_to_what_is_picked():
    relevance = np.array([0.9, 0.8, 0.1])
    likeness = np.array([[1.0, 0.95, 0.0], [0.95, 1.0, 0.1], [0.0, 0.1, 1.0]])
    # .5 * .8 - .5 * .95 = -.075 < .5 * .1 - .5 * 0 = .05: the third comes before the second
    assert [at for at, _ in select(relevance, likeness, 0.5)] == [0, 2, 1]
    values = [value for _, value in select(relevance, likeness, 0.5)]
    assert values == pytest.approx([0.5 * 0.9 + 0.5, 0.5 * 0.1 - 0, 0.5 * 0.8 - 0.5 * 0.95])


def test_mmr_of_weight_1_is_cosine_order_ties_as_they_came():
    chunks = [*CHUNKS, chunk("x.md", 0, "apple pie"), chunk("y.md", 0, "pie apple")]
    nodes = found(chunks=chunks)
    shuffled = random.Random(0).sample(nodes, len(nodes))
    ordered = mmr(chunks, weight=1).postprocess_nodes(shuffled, query_str="apple pie")
    vector = LetterEmbedding().get_text_embedding("apple pie")
    cosines = [cosine(vector, LetterEmbedding().get_text_embedding(node.text)) for node in ordered]
    assert [node.score for node in ordered] == pytest.approx(cosines)
    assert cosines == sorted(cosines, reverse=True)
    assert documents(mmr(chunks, weight=1).postprocess_nodes(nodes, query_str="apple pie")) == documents(nodes)


def test_mmr_puts_a_repeated_passage_last():
    chunks = [chunk("a.md", 0, "apple pie"), chunk("b.md", 0, "apple pie"), chunk("c.md", 0, "apple tart")]
    nodes = mmr(chunks, weight=0.4).postprocess_nodes(found(chunks=chunks), query_str="apple pie")
    assert documents(nodes) == ["a.md", "c.md", "b.md"]


@given(
    rows=st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=9), weight=st.floats(0, 1)
)
def test_mmr_places_each_chunk_once_and_its_scores_never_rise(rows, weight):
    matrix = np.array(rows)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix = matrix / np.where(lengths < 1e-9, np.inf, lengths)
    order = select(matrix[1:] @ matrix[0], matrix[1:] @ matrix[1:].T, weight)
    assert sorted(at for at, _ in order) == list(range(len(rows) - 1))
    values = [value for _, value in order]
    assert all(above >= below - 1e-9 for above, below in itertools.pairwise(values))


def test_mmr_gives_a_chunk_without_direction_the_cosine_0():
    chunks = [*CHUNKS, chunk("0.md", 50, "123")]
    nodes = mmr(chunks, weight=1).postprocess_nodes(found(chunks=chunks), query_str="apple pie")
    assert (nodes[-1].text, nodes[-1].score) == ("123", 0.0)


def test_mmr_uses_the_bundle_s_own_embedding():
    embedding = LetterEmbedding()
    bundle = QueryBundle("apple", embedding=embedding.get_text_embedding("zebra crossing"))
    nodes = mmr(embedding=embedding, weight=1).postprocess_nodes(found(), query_bundle=bundle)
    assert documents(nodes)[0] == "2.md"
    assert embedding.queries == []


def test_mmr_says_when_the_index_lacks_a_vector():
    with pytest.raises(DataError, match="the index lacks 1"):
        mmr(CHUNKS[1:]).postprocess_nodes(found(), query_str="apple")


# ---- cross_encoder ---------------------------------------------------------------------------------------------------

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "apple", "pie", "bread", "zebra", "with", "of", "the"]
# The padding weighs most: a score that counted it would be far off.
WEIGHTS = [1000.0, 0.5, 0.0, 0.25, 3.0, 2.0, -1.0, -4.0, 0.125, 0.0625, 0.03125]
CROSS = {"top_n": 10, "max_length": 32, "on_too_long": "cut", "batch_size": 2}


def save_model(folder, outputs=1, inputs=("input_ids", "attention_mask", "token_type_ids"), weights=WEIGHTS):
    """Saves a model that scores a pair by the weights of its second part's tokens (or all, without type ids)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.tile(np.array(weights, dtype=np.float32)[:, None], (1, outputs))
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["weights"])]
    last = "weights"
    for name in inputs[1:]:
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{name}_float", "two"], [f"{name}_column"]),
            helper.make_node("Mul", [last, f"{name}_column"], [f"{name}_masked"]),
        ]
        last = f"{name}_masked"
    nodes.append(helper.make_node("ReduceSum", [last, "one"], ["logits"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
            numpy_helper.from_array(np.array([2], dtype=np.int64), "two"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")


def save_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_truncation(4)  # the file's own limit, which must not hold
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    for package in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed (extras fastembed and dev)")
    folder = tmp_path_factory.mktemp("한글 model")
    save_model(folder)
    save_tokenizer(folder)
    return folder


def weight_of(*words):
    """The score by hand: the passage's words and the mark after them."""
    return sum(WEIGHTS[WORDS.index(word)] if word in WORDS else WEIGHTS[1] for word in words) + WEIGHTS[3]


def plain(*texts):
    return [NodeWithScore(node=TextNode(text=text, id_=str(at)), score=1.0 - at / 100) for at, text in enumerate(texts)]


def cross(model, **keys):
    return builders.cross_encoder(model=str(model), **{**CROSS, **keys})


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_cross_encoder_s_scores_are_those_computed_by_hand(model, batch_size):
    texts = ["apple pie", "zebra with bread of the zebra", "bread", "apple apple apple of durian", ""]
    nodes = cross(model, batch_size=batch_size).postprocess_nodes(plain(*texts), query_str="pie of apple")
    expected = {text: weight_of(*text.split()) for text in texts}
    assert {node.text: node.score for node in nodes} == pytest.approx(expected)
    assert [node.text for node in nodes] == sorted(texts, key=lambda text: -expected[text])


def test_cross_encoder_s_equal_scores_keep_the_retriever_s_order(model):
    nodes = plain("of the", "apple", "the of", "of the")
    assert [node.node_id for node in cross(model).postprocess_nodes(nodes, query_str="pie")] == ["1", "0", "2", "3"]


def test_cross_encoder_reads_the_heading_path_with_the_text(model):
    nodes = found(chunks=[chunk("a.md", 0, "apple", heading="zebra")])
    scored = cross(model).postprocess_nodes(nodes, query_str="pie")
    assert scored[0].score == pytest.approx(weight_of("zebra", "apple"))


def test_cross_encoder_reads_marks_in_a_passage_as_text(model):
    (node,) = cross(model).postprocess_nodes(plain("[SEP] apple"), query_str="pie")
    assert node.score == pytest.approx(weight_of("[", "durian", "]", "apple"))


def test_cross_encoder_cuts_a_long_passage_at_its_end_and_counts_it(model):
    reranker = cross(model, max_length=8)  # [CLS] pie [SEP] + 4 words + [SEP]
    texts = ["apple apple apple apple", "apple apple apple bread zebra zebra", "pie"]
    nodes = reranker.postprocess_nodes(plain(*texts), query_str="pie")
    assert [(node.text, node.score) for node in nodes] == [
        (texts[0], weight_of(*["apple"] * 4)),
        (texts[1], weight_of("apple", "apple", "apple", "bread")),
        (texts[2], weight_of("pie")),
    ]
    assert reranker.counts == {"truncated passages": 1}


def test_cross_encoder_refuses_a_long_passage_when_told_so(model):
    nodes = found(chunks=[chunk("long.md", 0, "apple " * 20)])
    with pytest.raises(DataError, match=wording(pairs_too_long(1, 1, 8), "'long.md'")):
        cross(model, max_length=8, on_too_long="error").postprocess_nodes(nodes, query_str="pie")


def test_cross_encoder_says_when_the_question_leaves_no_room(model):
    with pytest.raises(DataError, match=wording(question_too_long(8))):
        cross(model, max_length=8).postprocess_nodes(plain("apple"), query_str="pie pie pie pie pie")


def test_cross_encoder_gives_the_same_scores_alone_and_among_others(model):
    texts = ["apple", "apple pie with bread", "zebra " * 9]
    together = {n.text: n.score for n in cross(model, batch_size=3).postprocess_nodes(plain(*texts), query_str="pie")}
    for text in texts:
        (alone,) = cross(model).postprocess_nodes(plain(text), query_str="pie")
        assert alone.score == together[text]


def test_cross_encoder_by_name_scores_as_from_a_folder(model, tmp_path):
    """fastembed's session and tokenizer are reached by names that are not its interface: they still hold."""
    pytest.importorskip("fastembed", reason="the extra `fastembed` is not installed")
    from fastembed.common.model_description import ModelSource
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    from ragloom.components.reranker.cross_encoder_reranker import PairModel

    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    (tmp_path / "config.json").write_text('{"pad_token_id": 0}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 6, "pad_token": "[PAD]"}')
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}')
    TextCrossEncoder.add_custom_model("test/pairs", ModelSource(hf="test/pairs"), model_file="model.onnx")
    encoder = TextCrossEncoder("test/pairs", specific_model_path=str(tmp_path)).model
    by_name = PairModel(encoder.model, encoder.tokenizer, "test/pairs", 32)
    pairs = [(ids, types) for ids, types, _ in by_name.encode("pie", ["apple pie with bread of the zebra", "pie"])]
    assert by_name.score(pairs, 2) == [
        weight_of("apple", "pie", "with", "bread", "of", "the", "zebra"),
        weight_of("pie"),
    ]


def test_cross_encoder_never_counts_padding(model, tmp_path):
    """This model has no type ids: the attention mask alone keeps the padding out, which weighs 1000."""
    save_model(tmp_path, inputs=("input_ids", "attention_mask"))
    save_tokenizer(tmp_path)
    nodes = cross(tmp_path, batch_size=9).postprocess_nodes(plain("bread", "apple pie with zebra"), query_str="pie")
    question = weight_of("pie")
    assert {node.text: node.score for node in nodes} == {
        "bread": question + weight_of("bread"),
        "apple pie with zebra": question + weight_of("apple", "pie", "with", "zebra"),
    }


def test_cross_encoder_refuses_a_score_that_is_no_number(model, tmp_path):
    save_model(tmp_path, inputs=("input_ids",), weights=[0.0, *WEIGHTS[1:6], float("inf"), *WEIGHTS[7:]])
    save_tokenizer(tmp_path)
    with pytest.raises(ServiceError, match="not a finite number"):
        cross(tmp_path).postprocess_nodes(plain("apple", "bread"), query_str="pie")


def test_cross_encoder_names_what_is_wrong_with_the_model(model, tmp_path):
    with pytest.raises(ConfigError, match=wording(model_needed("model.onnx and tokenizer.json"))):
        cross(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    with pytest.raises(ConfigError, match=wording(unreadable_model())):
        cross(tmp_path)
    save_model(tmp_path, outputs=3)
    with pytest.raises(ConfigError, match="one score a pair"):
        cross(tmp_path)
    with pytest.raises(ConfigError, match=wording(did_you_mean("Xenova/ms-marco-MiniLM-L-6-v2"))):
        cross("Xenova/ms-marco-MiniLM-L6-v2")


def test_cross_encoder_whose_download_fails_is_a_service_error(monkeypatch):
    pytest.importorskip("fastembed", reason="the extra `fastembed` is not installed")
    from fastembed.rerank import cross_encoder

    class Missing(cross_encoder.TextCrossEncoder):
        def __init__(self, model, **options):
            raise ValueError(f"Could not load model {model} from any source.")

    def model_info(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(cross_encoder, "TextCrossEncoder", Missing)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    with pytest.raises(ServiceError, match=wording(not_loaded("", ": Name or service not known"))):
        cross("Xenova/ms-marco-MiniLM-L-6-v2")


def test_cross_encoder_without_its_extra_names_the_command(monkeypatch, model):
    import sys

    for module in ("onnxruntime", "fastembed", "fastembed.rerank.cross_encoder"):
        monkeypatch.setitem(sys.modules, module, None)
    for wanted in (model, "Xenova/ms-marco-MiniLM-L-6-v2"):
        with pytest.raises(ConfigError, match=wording(install_extra("fastembed"))):
            cross(wanted)


def test_cross_encoder_serves_many_threads(model):
    reranker = cross(model, max_length=8)
    texts = ["apple", "bread of zebra", "pie pie", "apple apple apple bread zebra zebra"]
    expected = reranker.postprocess_nodes(plain(*texts), query_str="pie")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: reranker.postprocess_nodes(plain(*texts), query_str="pie"), range(40)))
    assert results == [expected] * 40
    assert reranker.counts["truncated passages"] == 41


# ---- llm -------------------------------------------------------------------------------------------------------------

LLM = {"top_n": 10, "window_size": 20, "window_step": 10, "passage_tokens": 300, "tokenizer": "cl100k_base"}


class ScriptedLLM(MockLLM):
    """Replies what it is scripted to, or ranks passages by the number in them; `seen` has what it was sent."""

    _replies: list[object] = PrivateAttr(default_factory=list)
    _seen: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, *replies):
        super().__init__()
        self._replies = list(replies)

    @property
    def seen(self):
        return self._seen

    def chat(self, messages, **_):
        prompt = messages[-1].content
        self._seen.append(prompt)
        reply = self._replies.pop(0) if self._replies else self._ranked(prompt)
        if isinstance(reply, Exception):
            raise reply
        return ChatResponse(message=ChatMessage(role="assistant", content=reply))

    async def achat(self, messages, **_):
        return self.chat(messages)

    @staticmethod
    def _ranked(prompt):
        lines = [line for line in prompt.splitlines() if line.startswith("[") and "value" in line]
        values = {line.split("]")[0] + "]": int(line.split()[-1]) for line in lines}
        return " > ".join(sorted(values, key=lambda number: -values[number]))


def listwise(llm, **keys):
    return builders.llm(llm, **{**LLM, **keys})


def run(reranker, nodes, *, in_async):
    if in_async:
        return asyncio.run(reranker.apostprocess_nodes(nodes, query_str="q?"))
    return reranker.postprocess_nodes(nodes, query_str="q?")


both_ways = pytest.mark.parametrize("in_async", [False, True])


@both_ways
def test_llm_orders_by_the_reply(in_async):
    llm = ScriptedLLM("[2] > [3] > [1]")
    nodes = run(listwise(llm, top_n=2), plain("one", "two", "three"), in_async=in_async)
    assert [(node.text, node.score) for node in nodes] == [("two", 1.0), ("three", 1 / 2)]
    assert "[1] one\n\n[2] two\n\n[3] three" in llm.seen[0]
    assert "Question: q?" in llm.seen[0]


MALFORMED = [
    "[1] > [2]",
    "[1] > [2] > [2]",
    "[1] > [2] > [4]",
    "[1] > [2] > [3] > [3]",
    "[0] > [1] > [2]",
    "The ranking is [3] > [2] > [1]",
    "[3] > [2] > [1].",
    "3 > 2 > 1",
    "[3], [2], [1]",
    "",
    None,
    "I cannot help with that.",
]


@both_ways
@pytest.mark.parametrize("reply", MALFORMED)
def test_llm_counts_a_malformed_reply_and_keeps_order_and_scores_entirely(reply, in_async):
    reranker = listwise(ScriptedLLM(reply), top_n=2)
    nodes = plain("one", "two", "three")
    assert run(reranker, nodes, in_async=in_async) == nodes[:2]
    assert reranker.counts == {"malformed replies": 1}


@both_ways
def test_llm_keeps_the_order_entirely_when_a_later_window_is_malformed(in_async):
    llm = ScriptedLLM("[2] > [1]", "what?")
    nodes = plain("one", "two", "three", "four")
    reranker = listwise(llm, window_size=2, window_step=1)
    assert run(reranker, nodes, in_async=in_async) == nodes
    assert len(llm.seen) == 2
    assert reranker.counts["malformed replies"] == 1


@both_ways
def test_llm_error_is_raised_never_the_old_order(in_async):
    with pytest.raises(ServiceError, match="llm: gone"):
        run(listwise(ScriptedLLM(ServiceError("llm: gone"))), plain("one", "two"), in_async=in_async)


@both_ways
@pytest.mark.parametrize(("count", "size", "step"), [(2, 20, 10), (20, 20, 10), (21, 20, 10), (35, 10, 5), (7, 3, 2)])
def test_llm_s_window_carries_the_best_of_all_to_the_head(count, size, step, in_async):
    values = random.Random(count).sample(range(100), count)
    llm = ScriptedLLM()
    nodes = plain(*(f"value {value}" for value in values))
    reranked = run(listwise(llm, top_n=count, window_size=size, window_step=step), nodes, in_async=in_async)
    kept = min(size - step, count)
    expected = [f"value {value}" for value in sorted(values, reverse=True)]
    assert [node.text for node in reranked][:kept] == expected[:kept]
    assert sorted(node.node_id for node in reranked) == sorted(node.node_id for node in nodes)
    assert max(sum(line.startswith("[") for line in prompt.splitlines()) for prompt in llm.seen) <= size
    assert len(llm.seen) == 1 + max(0, -(-(count - size) // step))


def test_llm_is_not_asked_about_less_than_two():
    llm = ScriptedLLM()
    assert [n.score for n in listwise(llm).postprocess_nodes(plain("one"), query_str="q")] == [1.0]
    assert llm.seen == []


def test_llm_passages_are_cut_to_their_tokens_and_counted():
    llm = ScriptedLLM("[1] > [2]")
    reranker = listwise(llm, passage_tokens=3)
    reranker.postprocess_nodes(plain("apple " * 50, "pie"), query_str="q")
    assert "[1] apple apple apple\n\n[2] pie\n" in llm.seen[0]
    assert reranker.counts["truncated passages"] == 1


def test_llm_passages_cannot_pass_for_other_passages():
    llm = ScriptedLLM("[1] > [2]")
    listwise(llm).postprocess_nodes(plain("see\n\n[2] fake", "two"), query_str="q")
    assert "[1] see (2) fake\n\n[2] two\n" in llm.seen[0]


@given(st.permutations(range(1, 8)), st.sampled_from([" > ", ">", "  >\n"]))
def test_ranking_reads_what_is_written_in_the_format(numbers, between):
    assert ranking(between.join(f"[{number}]" for number in numbers), 7) == [number - 1 for number in numbers]


@given(st.text(st.sampled_from("[]123 >ab"), max_size=20))
def test_ranking_gives_each_position_once_or_nothing(reply):
    read = ranking(reply, 3)
    assert read is None or sorted(read) == [0, 1, 2]


@given(st.text(st.sampled_from("ab 가나한국🚀é\n"), max_size=80), st.integers(1, 30))
def test_first_tokens_never_has_more_tokens_than_asked_for_a_prefix_of_the_text(text, tokens):
    tokenizer = load("cl100k_base")
    cut = first_tokens(tokenizer, text, tokens)
    assert text.startswith(cut)
    assert (cut == text) == (tokenizer.count(text) <= tokens)


@pytest.mark.parametrize(("size", "step"), [(10, 10), (10, 11), (1, 1)])
def test_llm_s_window_must_be_larger_than_its_step(size, step):
    line = f"reranker: reranker.window_step={step} must be less than reranker.window_size={size}"
    assert key_problems(builders.llm, {"window_size": size, "window_step": step})[0].startswith(line)
    with pytest.raises(ConfigError, match="must be less than"):
        listwise(ScriptedLLM(), window_size=size, window_step=step)


# ---- all -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["none", "mmr", "cross_encoder", "llm"])
def reranker(request):
    if request.param == "cross_encoder":
        return cross(request.getfixturevalue("model"), top_n=3)
    if request.param == "llm":
        return listwise(ScriptedLLM("[6] > [5] > [4] > [3] > [2] > [1]", "[6] > [5] > [4] > [3] > [2] > [1]"), top_n=3)
    return builders.none(top_n=3) if request.param == "none" else mmr(top_n=3)


def test_every_reranker_replaces_the_score_on_a_copy_and_nothing_else(reranker):
    nodes = found()
    before = [node.model_copy() for node in nodes]
    placed = reranker.postprocess_nodes(nodes, query_str="apple pie")
    assert len(placed) == 3
    assert nodes == before
    given_nodes = {node.node_id: node for node in nodes}
    for node in placed:
        old = given_nodes[node.node_id]
        assert node is not old
        assert node.node is old.node
        assert node.model_copy(update={"score": old.score}) == old
        assert node.retriever_score == old.score
    assert [node.score for node in placed] == sorted((node.score for node in placed), reverse=True)


def test_every_reranker_gives_the_same_async(reranker):
    nodes = found()
    sync = reranker.postprocess_nodes(nodes, query_str="apple pie")
    assert asyncio.run(reranker.apostprocess_nodes(nodes, query_str="apple pie")) == sync


def test_every_reranker_takes_an_empty_list(reranker):
    assert reranker.postprocess_nodes([], query_str="apple pie") == []
    assert asyncio.run(reranker.apostprocess_nodes([], query_str="apple pie")) == []


def test_every_reranker_but_none_demands_a_query(reranker):
    if type(reranker).__name__ == "PassthroughReranker":
        assert reranker.postprocess_nodes(found())
    else:
        with pytest.raises(ValueError, match="orders by a query"):
            reranker.postprocess_nodes(found())


def test_every_reranker_fires_llamaindex_s_events(reranker):
    class Collect(BaseEventHandler):
        _events: list = PrivateAttr(default_factory=list)

        def handle(self, event, **_):
            self._events.append(event)

    handler = Collect()
    root = get_dispatcher("root")
    root.add_event_handler(handler)
    try:
        placed = reranker.postprocess_nodes(found(), query_str="apple pie")
    finally:
        root.event_handlers.remove(handler)
    ours = [event for event in handler._events if event.class_name().startswith("ReRank")]
    assert [event.class_name() for event in ours] == ["ReRankStartEvent", "ReRankEndEvent"]
    assert ours[1].nodes == placed


def test_every_reranker_works_in_a_plain_llamaindex_query_engine(reranker):
    engine = RetrieverQueryEngine.from_args(retriever(), llm=MockLLM(), node_postprocessors=[reranker])
    nodes = engine.query("apple pie").source_nodes
    assert len(nodes) == 3
    assert nodes == reranker.postprocess_nodes(found(), query_str="apple pie")


def test_rerankers_dumps_hold_no_component(model):
    """An LLM's or embedding's dump may hold its key [22]."""
    for made in (mmr(), cross(model), listwise(ScriptedLLM())):
        assert not {"llm", "embedding", "index", "model", "tokenizer"} & set(made.to_dict())
