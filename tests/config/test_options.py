"""Every option of every group composes and builds, or names the extra that it needs."""

from pathlib import Path

import pytest
from llama_index.core.llms.mock import MockLLM

from fakes import FakeIndex, LetterEmbedding, chunk
from messages.config import unreadable_file
from ragloom.components.analyzer import multilingual
from ragloom.config.conf_folder import conf_folder
from ragloom.config.config import build, load
from ragloom.config.settings import COMPONENTS
from ragloom.errors import ConfigError, DataError, ServiceError

REQUIRED = {
    "judge=openai": ["answers=true", "metrics.answers=[faithfulness]"],
    "judge=openai_compatible": ["answers=true", "metrics.answers=[faithfulness]"],
    "source=folder": ["source.path=."],
    "source=jsonl": ["source.path=x.jsonl"],
    "source=spans": ["source.path=.", "source.corpora=corpora"],
    "source=beir": ["source.path=."],
    "source=squad": ["source.path=x.json", "source.document=context", "source.max_file_mb=1"],
    "dataset=jsonl": ["dataset.path=x.jsonl"],
    "dataset=spans": ["dataset.path=x"],
    "dataset=beir": ["dataset.path=x"],
    "dataset=squad": ["dataset.path=x.json"],
    "experiment=chroma_chunking": ["dataset.path=x", "embedding.model=m", "chunking.length=cl100k_base"],
    "experiment=scifact": ["dataset.path=x", "embedding.model=m"],
    "experiment=korquad_contexts": ["dataset.path=x.json"],
    "reranker=llm": ["llm=openai"],
    "embedding=openai_compatible": [
        "embedding.model=m",
        "embedding.base_url=http://127.0.0.1:9/v1",
        "embedding.dimensions=8",
    ],
    "llm=openai_compatible": ["llm.model=m", "llm.base_url=http://127.0.0.1:9/v1"],
}
CASES = [f"{group}={option}" for group in COMPONENTS for option in conf_folder().options(group)]


@pytest.mark.parametrize("case", CASES)
def test_option_composes_and_builds_or_names_the_missing_extra(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    group, _, option = case.partition("=")
    place = [] if case == "vector_store=weaviate" else [f"vector_store.path={tmp_path}"]
    (config,) = load([case, *REQUIRED.get(case, []), *place])
    assert config.choices[group] == option
    given = {
        "embedding": LetterEmbedding(),
        "analyzer": multilingual(),
        "llm": MockLLM(),
        "index": FakeIndex([chunk("a.md", 0, "text")]),
    }
    try:
        assert (build(config, group, **given) is None) == (case in ("judge=none", "executor=local"))
    except (ConfigError, ServiceError) as error:
        assert "pip install 'ragloom[" in str(error) or "folder" in str(error), error
    except DataError as error:  # a dataset is read when it is built
        assert unreadable_file() in str(error) or "folder" in str(error), error


@pytest.mark.parametrize("experiment", conf_folder().options("experiment"))
def test_experiment_composes(experiment: str) -> None:
    (config,) = load([f"experiment={experiment}", *REQUIRED.get(f"experiment={experiment}", [])])
    assert config.choices["experiment"] == experiment


def test_baseline_is_the_fifty_line_script() -> None:
    (config,) = load(["experiment=baseline"])
    chunking = config.values("chunking")
    assert (chunking["length"], chunking["chunk_size"], chunking["chunk_overlap"]) == ("characters", 500, 50)
    assert chunking["separators"] == ["\n\n", "\n", " ", ""]
    assert config.values("embedding")["model"] == "text-embedding-3-small"
    assert config.values("llm")["model"] == "gpt-4"
    assert config.values("retriever")["top_k"] == config.values("reranker")["top_n"] == 3
    wanted = {"chunking": "recursive", "retriever": "dense", "reranker": "none", "prompt": "plain", "llm": "openai"}
    assert wanted.items() <= config.choices.items()
    assert config.values("prompt")["language"] == "ko"
