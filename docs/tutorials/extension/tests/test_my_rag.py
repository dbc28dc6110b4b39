"""Tests of what each option promises."""

import numpy as np
from llama_index.core.schema import NodeWithScore, TextNode
from my_rag.chunking import sentences
from my_rag.embedding import ngrams
from my_rag.reranker import overlap

TEXT = "# Warranty\n\nThe frame: five years. The motor: two!\n\n# 보증\n\n차체는 5년입니다. 배터리는 2년입니다.\n"


def test_chunks_are_whole_sentences_below_their_heading():
    spans = sentences(sentences=1, max_characters=100).spans(TEXT, "markdown")
    chunks = [TEXT[start:end] for start, end in spans]
    assert chunks == [
        "# Warranty\n\nThe frame: five years.",
        "The motor: two!",
        "# 보증\n\n차체는 5년입니다.",
        "배터리는 2년입니다.",
    ]


def test_chunks_leave_no_character_out():
    spans = list(sentences(sentences=2, max_characters=7).spans(TEXT, "markdown"))
    covered = {at for start, end in spans for at in range(start, end)}
    assert all(at in covered or character.isspace() for at, character in enumerate(TEXT))
    assert spans == sorted(spans)


def test_vectors_are_near_for_common_parts_of_words():
    embedding = ngrams(dimensions=1024, shortest=2, longest=4, embedded_metadata=[])
    question, near, far = embedding.embed(["보증 기간", "보증이 끝나는 기간은", "배송 비용"])
    assert question @ near > question @ far
    assert np.isclose(question @ question, 1)


def test_reranker_puts_rare_terms_first_and_keeps_equal_chunks_in_order():
    texts = ["The motor.", "The frame.", "The frame: 보증이 5년.", "The bell."]
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in texts]
    reranker = overlap(top_n=3, retriever_weight=0)
    reranked = reranker.postprocess_nodes(nodes, query_str="frame 보증")
    assert [node.text for node in reranked] == [texts[2], texts[1], texts[0]]
