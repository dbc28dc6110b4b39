"""Measures chunking against tiktoken alone and against LlamaIndex's splitters; exits 1 when a limit is missed.

    python benchmarks/chunking.py [rounds]

Ratios are of processor time within one run: the rivals take turns, and each ratio is the median over all rounds, so
that a busy machine disturbs little. Texts are the evaluation sets of ../shared/data where they are, else made up.
"""

import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SIZE, OVERLAP = 256, 32
SHORT_DOCUMENTS, SHORT_CHARACTERS = 10_000, 600


@dataclass(frozen=True)
class Contest:
    """One ratio: how many times as fast as `rival` is `ours`?"""

    name: str
    rival: Callable[[], object]
    ours: Callable[[], object]
    limit: float
    rounds: int


@contextmanager
def readable_nltk_data() -> Iterator[None]:
    """Copies LlamaIndex's nltk data, since nltk refuses the hard links that uv installs (TRAPS 20)."""
    package = find_spec("llama_index.core")
    assert package is not None
    assert package.origin is not None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NLTK_DATA"] = str(Path(folder) / "nltk")
        shutil.copytree(Path(package.origin).parent / "_static" / "nltk_cache", os.environ["NLTK_DATA"])
        yield


def english() -> str:
    files = sorted((SHARED / "chroma-chunking" / "corpora").glob("*.md"))
    if not files:
        return made_up(
            "The {n}th experiment, as Dr. Kim reported in Fig. {n}, took {n} minutes. It was repeated twice. "
        )
    return "\n\n".join(file.read_text(encoding="utf-8") for file in files)


def korean() -> str:
    file = SHARED / "korquad1-dev" / "KorQuAD_v1.0_dev.json"
    if not file.exists():
        return made_up("{n}번째 실험은 김 박사가 그림 {n}에서 보고한 대로 {n}분이 걸렸다. 그리고 두 번 되풀이되었다. ")
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    return "\n\n".join(
        dict.fromkeys(paragraph["context"] for article in articles for paragraph in article["paragraphs"])
    )


def made_up(sentence: str) -> str:
    paragraphs = ("".join(sentence.format(n=n * 7 + m) for m in range(n % 9 + 1)).rstrip() for n in range(2500))
    return "\n\n".join(paragraphs)


def contests(rounds: int) -> list[Contest]:
    import tiktoken
    from llama_index.core import Document
    from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter

    from ragloom.components import chunking
    from ragloom.core import tokenizers

    tokenizers.load("cl100k_base")  # points tiktoken at the tables that are here
    encoding = tiktoken.get_encoding("cl100k_base")
    fixed = chunking.fixed(chunk_size=SIZE, chunk_overlap=OVERLAP, tokenizer="cl100k_base")
    paragraph = chunking.paragraph(chunk_size=SIZE, chunk_overlap=OVERLAP, tokenizer="cl100k_base")
    by_tokens = TokenTextSplitter(chunk_size=SIZE, chunk_overlap=OVERLAP)
    by_sentences = SentenceSplitter(chunk_size=SIZE, chunk_overlap=OVERLAP)

    def encode_and_slice(documents: list[Document]) -> list[str]:
        texts = []
        for document in documents:
            tokens = encoding.encode_ordinary(document.text)
            texts += [encoding.decode(tokens[at : at + SIZE]) for at in range(0, len(tokens), SIZE - OVERLAP)]
        return texts

    found = []
    for language, text, alone, sentences in (("English", english(), 0.85, 4.0), ("Korean", korean(), 0.80, 2.0)):
        large = [Document(text=text)]
        starts = (n * 137 % (len(text) - SHORT_CHARACTERS) for n in range(SHORT_DOCUMENTS))
        short = [Document(text=text[at : at + SHORT_CHARACTERS]) for at in starts]

        def run(parser: object, documents: list[Document]) -> Callable[[], object]:
            return lambda: parser.get_nodes_from_documents(documents)  # type: ignore[attr-defined]

        def alone_on(documents: list[Document]) -> Callable[[], object]:
            return lambda: encode_and_slice(documents)

        print(f"{language}: {len(text):,} characters, {len(encoding.encode_ordinary(text)):,} tokens")
        name = f"{language}, one large document:"
        slow = max(3, rounds // 3)
        found += [
            Contest(f"{name} fixed / encode and slice", alone_on(large), run(fixed, large), alone, rounds),
            Contest(
                f"{language}, {SHORT_DOCUMENTS:,} of {SHORT_CHARACTERS} characters: fixed / encode and slice",
                alone_on(short),
                run(fixed, short),
                0.5,
                slow,
            ),
            Contest(f"{name} fixed / TokenTextSplitter", run(by_tokens, large), run(fixed, large), 10.0, slow),
            Contest(
                f"{name} paragraph / SentenceSplitter", run(by_sentences, large), run(paragraph, large), sentences, slow
            ),
        ]
    return found


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    product = work()
    taken = time.process_time() - begin
    del product
    return taken


def measured(contest: Contest) -> tuple[float, float, float]:
    """Gives the median ratio, and the median seconds of rival and ours."""
    seconds(contest.rival), seconds(contest.ours)  # warm up
    pairs = []
    for turn in range(contest.rounds):
        if turn % 2:
            ours, rival = seconds(contest.ours), seconds(contest.rival)
        else:
            rival, ours = seconds(contest.rival), seconds(contest.ours)
        pairs.append((rival, ours))
    middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return statistics.median(rival / ours for rival, ours in pairs), middle[0], middle[1]


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    missed = 0
    with readable_nltk_data():
        rows = contests(rounds)
        print(f"\n{'ours / rival':<76}{'rival s':>9}{'ours s':>9}{'ratio':>8}{'limit':>8}")
        for contest in rows:
            ratio, rival, ours = measured(contest)
            missed += ratio < contest.limit
            verdict = "" if ratio >= contest.limit else "  MISSED"
            print(f"{contest.name:<76}{rival:>9.3f}{ours:>9.3f}{ratio:>8.2f}{contest.limit:>8.2f}{verdict}", flush=True)
    print(f"\n{missed} of {len(rows)} limits missed" if missed else f"\nall {len(rows)} limits held")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
