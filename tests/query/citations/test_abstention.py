"""Abstentions: recognised in the words that models use, in English and Korean; an answer is never taken for one."""

import pytest

from ragloom.core.prompt_and_reply import NO_ANSWER
from ragloom.query.citations.abstention import abstains

ENGLISH = [
    "I do not know.",
    "I don't know.",
    "I don’t know",
    "I do not know the answer to this question.",
    "I'm not sure.",
    "I am not able to answer this question from the passages.",
    "I cannot answer this question.",
    "I can't answer that based on the provided passages.",
    "I could not find the answer in the documents.",
    "I couldn't find any information about refunds.",
    "I am unable to answer this question based on the given documents.",
    "I'm sorry, but I cannot find that information in the passages.",
    "Sorry, I don't know.",
    "I'm sorry. I do not know.",
    "Unfortunately, the documents do not contain this information.",
    "The documents do not answer this question.",
    "The document does not answer the question.",
    "The passages do not mention how long it takes.",
    "The passage doesn't say.",
    "The provided context does not contain enough information to answer the question.",
    "The given text does not specify the price.",
    "The provided documents do not explicitly state the opening hours.",
    "None of the passages mention a refund.",
    "None of the documents answers this question.",
    "There is no information about this in the documents.",
    "There is not enough information to answer.",
    "There isn't enough information in the passages to answer this question.",
    "There is no mention of a deadline in the passages.",
    "No information is available on this.",
    "No answer was found in the documents.",
    "No relevant information is provided in the passages.",
    "This information is not provided in the passages.",
    "This question cannot be answered from the passages.",
    "The question can't be answered with the given documents.",
    "The answer is not in the documents.",
    "The answer to this question is not found in the passages.",
    "It is not mentioned in the passages.",
    "It is not stated.",
    "It cannot be determined from the passages.",
    "Based on the passages, I do not know.",
    "Based on the provided documents, there is no information about this.",
    "Answer: I do not know.",
    "Not mentioned.",
    "Not specified in the documents.",
    "Not found in the passages.",
    "Unknown.",
    "Unanswerable",
    "N/A",
    "Insufficient information.",
    "No answer.",
    "**I do not know.**",
    "> I do not know.",
    "The documents do not answer this question [1].",
    "I do not know. Please contact customer support.",
    "The documents do not answer this question. They only describe the warranty of the frame.",
    "I have no information about that.",
    "I don't have enough information to answer this.",
    "The context is insufficient to answer.",
    "The passages say nothing about this.",
    "",
    "  ",
    "[1]",
]
KOREAN = [
    "모르겠습니다.",
    "잘 모르겠습니다.",
    "모릅니다",
    "모르겠어요.",
    "모른다.",
    "알 수 없습니다.",
    "알 수 없어요.",
    "문서에서 이 질문에 대한 답을 찾지 못했습니다.",
    "문서에서 이 질문에 대한 답을 찾을 수 없습니다.",
    "문서에는 이 질문에 대한 답이 없습니다.",
    "제공된 문단에는 이 질문에 대한 정보가 없습니다.",
    "제공된 문서에서는 관련 내용을 찾을 수 없습니다.",
    "문단에 언급되어 있지 않습니다.",
    "문서에 명시되어 있지 않습니다.",
    "해당 내용은 문서에 나와 있지 않습니다.",
    "주어진 자료만으로는 알 수 없습니다.",
    "주어진 문단으로는 답변할 수 없습니다.",
    "이 질문에는 답변할 수 없습니다.",
    "이 질문에 답할 수 없습니다.",
    "답변드릴 수 없습니다.",
    "답변을 드리기 어렵지 않은지 알 수 없습니다.",
    "죄송합니다. 문서에서 답을 찾을 수 없습니다.",
    "죄송하지만 관련 정보를 찾을 수 없습니다.",
    "환불 기간에 대한 정보가 없습니다.",
    "환불에 대한 내용은 문서에서 확인할 수 없습니다.",
    "관련 정보가 부족합니다.",
    "본문에서 다루고 있지 않습니다.",
    "지문에는 그 내용이 나오지 않습니다.",
    "정보 없음",
    "알 수 없음",
    "문서에서 이 질문에 대한 답을 찾지 못했습니다 [1].",
    "제공된 문단에는 답이 없습니다. 추가 자료가 필요합니다.",
]
ANSWERS = [
    "Five years [1].",
    "No.",
    "No, wheels are not covered.",
    "The warranty does not cover wheels.",
    "There is no fee.",
    "There is no refund after thirty days [1].",
    "No information is collected from visitors.",
    "The author is unknown to most readers.",
    "It is not covered by the warranty after five years.",
    "I do not know the exact date, but it was in 2019 [1].",
    "The documents do not answer this question, but five years is usual.",
    "I don't know. However, the frame is covered for five years [1].",
    "The frame is covered for five years [1]. The documents do not say how long the wheels are covered.",
    "The service cannot be cancelled online.",
    "You cannot find the serial number on the saddle.",
    "Not more than five years.",
    "Unknown devices are refused [1].",
    "1.",
    "42",
    "5년입니다 [1].",
    "아니요.",
    "보증에 바퀴는 포함되어 있지 않습니다.",
    "비밀번호는 화면에서 확인할 수 없습니다.",
    "환불은 30일 후에는 할 수 없습니다.",
    "수수료는 없습니다.",
    "보증은 양도할 수 없습니다.",
    "정확히는 모르지만, 5년입니다 [1].",
    "문서에는 바퀴에 대한 언급이 없습니다. 하지만 차체는 5년입니다 [1].",
    "회원이 아니면 이용하지 못합니다.",
]


@pytest.mark.parametrize("answer", [*ENGLISH, *NO_ANSWER.values()])
def test_english_abstention_is_recognised(answer: str) -> None:
    assert abstains(answer)


@pytest.mark.parametrize("answer", KOREAN)
def test_korean_abstention_is_recognised(answer: str) -> None:
    assert abstains(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_is_no_abstention(answer: str) -> None:
    assert not abstains(answer)


@pytest.mark.parametrize(("length", "expected"), [(400, True), (401, False)])
def test_sentence_of_more_than_400_characters_says_something_else_as_well(length: int, expected: bool) -> None:
    opening = "The passages do not say "
    assert abstains(opening + "x" * (length - len(opening)) + ".") is expected
