import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings

from chunkers import TEXTS, WORDY_TEXTS
from messages import wording
from messages.config import did_you_mean
from messages.embedding import unknown_tokenizer, unreadable_tokenizer
from ragloom.core.smallest_limit import smallest_limit
from ragloom.core.tokenizer_names import TIKTOKEN_NAMES
from ragloom.core.tokenizers import PIECE, SAFE_CUT, Tokenizer, load, pieces
from ragloom.errors import ConfigError


@pytest.fixture(scope="module")
def word_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer as MiniLM's folder has it: it cuts at 8 tokens and pads, by default."""
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra fastembed")
    vocabulary = [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[PAD]",
        *"abcdefghijklmnopqrstuvwxyz가나다",
        *(f"##{c}" for c in "abcdefgh가나다"),
    ]
    model = tokenizers.models.WordPiece({token: n for n, token in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.NFKC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[CLS]", "[SEP]", "[PAD]"])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    folder = tmp_path_factory.mktemp("모델 folder")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _naive_edges(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Characters complete and begun at each boundary, by decoding every prefix."""
    encoding = tiktoken.get_encoding(tokenizer.name)
    tokens = encoding.encode_ordinary(text)
    complete, begun, raw = [0], [0], b""
    for token in tokens:
        raw += encoding.decode_single_token_bytes(token)
        complete.append(len(raw.decode("utf-8", "ignore")))
        begun.append(len(raw.decode("utf-8", "replace")))
    return complete, begun


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_edges_are_where_tokens_end(name: str, text: str) -> None:
    found = list(load(name).edges(text))
    complete, begun = _naive_edges(load(name), text)
    assert load(name).count(text) == len(complete) - 1
    assert [[ends.tolist() for ends in both] for both in found] == ([[complete, begun]] if text else [])
    assert list(load(name).edges(text, fitting=len(complete) - 1)) == []


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
@settings(max_examples=150, deadline=None)
@given(text=WORDY_TEXTS)
def test_a_safe_cut_changes_no_token(name: str, text: str) -> None:
    encode = tiktoken.get_encoding(load(name).name).encode_ordinary
    whole = encode(text)
    for cut in SAFE_CUT.finditer(text):
        assert encode(text[: cut.start()]) + encode(text[cut.start() :]) == whole


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
def test_pieces_of_a_long_text_have_the_tokens_of_the_whole(name: str) -> None:
    text = "".join(
        f"문단 {n}. Dr. Kim's 3.14 (see Fig. {n})!\n\n  - 한국어와 English, 你好。\t/path\n/x " for n in range(4000)
    )
    assert len(text) > 3 * PIECE
    assert "".join(pieces(text)) == text
    assert max(map(len, pieces(text))) <= PIECE
    whole = tiktoken.get_encoding(load(name).name).encode_ordinary(text)
    assert load(name).count(text) == len(whole)
    found = [begun for _, begun in load(name).edges(text)]
    assert all(before[-1] == after[0] for before, after in itertools.pairwise(found))
    ends = np.concatenate([begun[1:] for begun in found])
    assert len(ends) == len(whole)
    assert ends[-1] == len(text)


@pytest.mark.parametrize("name", TIKTOKEN_NAMES)
@pytest.mark.parametrize("run", [" ", "a", "가"])
def test_a_million_characters_without_a_break_are_counted(name: str, run: str) -> None:
    """TRAPS 38: tiktoken's o200k raises a BaseException on a million blanks, which `except Exception` misses."""
    text = run * (1_000_000 // len(run))
    count = load(name).count(text)
    assert 0 < count <= len(text.encode())
    assert sum(len(complete) - 1 for complete, _ in load(name).edges(text)) == count


def test_tiktoken_still_fails_on_a_million_blanks() -> None:
    """TRAPS 38: when this fails, `pieces` is no longer needed for o200k_base's sake."""
    script = (
        "from ragloom.core.tokenizers import load\n"
        "try: load('o200k_base')._encoding.encode_ordinary(' ' * 1_000_000)\n"
        "except Exception: print('Exception')\n"
        "except BaseException: print('BaseException')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "BaseException"


def test_tables_are_found_offline_without_a_cache_of_ones_own() -> None:
    """TRAPS 37: tiktoken downloads its table at first use; llama-index-core ships both."""
    script = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise OSError('no network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from ragloom.core.tokenizer_names import TIKTOKEN_NAMES\nfrom ragloom.core.tokenizers import load\n"
        "print([load(name).count('hello world') for name in TIKTOKEN_NAMES])\n"
        "import sys; print('llama_index.core' in sys.modules)\n"
    )
    caches = {"TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"}
    environment = {key: value for key, value in os.environ.items() if key not in caches}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split("\n")[:2] == ["[2, 2]", "False"]


def test_a_cache_of_ones_own_is_kept() -> None:
    """TRAPS 37: TIKTOKEN_CACHE_DIR is only set when it is not."""
    script = "import os; from ragloom.core.tokenizers import load; load('cl100k_base'); print(os.environ['TIKTOKEN_CACHE_DIR'])"
    load("cl100k_base")
    shipped = os.environ["TIKTOKEN_CACHE_DIR"]
    own = os.path.join(shipped, "..", Path(shipped).name)  # noqa: PTH118 - Path would drop the detour
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": own}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == own


def test_special_tokens_in_a_text_are_ordinary_text(word_pieces: Path) -> None:
    assert load("cl100k_base").count("<|endoftext|>") > 1
    assert load(str(word_pieces)).count("[SEP]") > 1


def test_half_a_character_counts_as_a_replacement_character() -> None:
    for name in TIKTOKEN_NAMES:
        ends = [int(n) for _, begun in load(name).edges("a\ud800b") for n in begun]
        assert ends[-1] == 3


def test_a_tokenizer_file_neither_cuts_nor_pads(word_pieces: Path) -> None:
    """TRAPS 38: a model folder's own maximum length would cut silently."""
    tokenizer = load(str(word_pieces))
    assert tokenizer.count("a b") == 2
    assert tokenizer.count("a " * 100) == 100
    assert tokenizer.counts(["a", "", "ab cb"]) == [1, 0, 2 + 2]
    assert load(str(word_pieces / "tokenizer.json")).count("a b") == 2


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_edges_of_a_tokenizer_file_never_decrease_and_end_at_the_end(word_pieces: Path, text: str) -> None:
    tokenizer = load(str(word_pieces))
    found = list(tokenizer.edges(text))
    if tokenizer.count(text):
        assert sum(len(ends[0]) - 1 for ends in found) == tokenizer.count(text)
        complete = np.concatenate([ends[0] for ends in found])
        begun = np.concatenate([ends[1] for ends in found])
        assert (np.diff(complete) >= 0).all()
        assert (np.diff(begun) >= 0).all()
        assert (complete <= begun).all()
        assert complete[-1] == begun[-1] == len(text)


def test_the_smallest_limit_is_the_tokens_of_the_costliest_character(word_pieces: Path) -> None:
    assert smallest_limit("cl100k_base") == 4
    most = max(load("cl100k_base").count(chr(n)) for n in range(0, 0x110000, 37) if not 0xD800 <= n < 0xE000)
    assert most <= 4
    # NFKC turns U+FDFA into four words with blanks between: unknown words, one token each.
    assert smallest_limit(str(word_pieces)) == load(str(word_pieces)).max_char_tokens >= 4


def test_an_unknown_tokenizer_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=wording(unknown_tokenizer("cl100k"), did_you_mean("cl100k_base"))):
        load("cl100k")


def test_a_damaged_tokenizer_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs the extra fastembed")
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=wording(unreadable_tokenizer())):
        load(str(tmp_path))
