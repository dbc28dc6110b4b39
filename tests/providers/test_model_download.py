"""Models of fastembed's list: the cache first, then the hub once, and no log lines."""

from typing import Any

import pytest

from ragloom.providers.model_download import load_listed

pytestmark = pytest.mark.extra
LISTED = [{"model": "Org/Tiny", "sources": {"hf": "org/tiny-onnx"}}]
pytest.importorskip("huggingface_hub", reason="the extra 'fastembed' is not installed")
loguru = pytest.importorskip("loguru", reason="the extra 'fastembed' is not installed")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that the hub was asked for; it has none but the last."""
    asked: list[str] = []

    def model_info(self: Any, model: str, timeout: float) -> None:
        asked.append(model)
        raise OSError("Name or service not known")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    return asked


def test_model_in_the_cache_asks_no_hub(asked: list[str]) -> None:
    assert load_listed(lambda name, **options: (name, options), "Org/Tiny", LISTED) == (
        "Org/Tiny",
        {"local_files_only": True},
    )
    assert asked == []


def test_hub_that_cannot_be_reached_is_asked_once_and_gives_the_reason(asked: list[str]) -> None:
    calls = []

    def make(name: str, **options: Any) -> None:
        calls.append(options)
        raise ValueError("Could not find model in cache_dir")

    with pytest.raises(OSError, match="Name or service not known"):
        load_listed(make, "org/tiny", LISTED)
    assert calls == [{"local_files_only": True}]
    assert asked == ["org/tiny-onnx"]


def test_model_that_the_hub_has_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda self, model, timeout: None)

    def make(name: str, **options: Any) -> str:
        if options:
            raise ValueError("Could not find model in cache_dir")
        return "downloaded"

    assert load_listed(make, "Org/Tiny", LISTED) == "downloaded"


def test_log_of_fastembed_is_silent_meanwhile_and_not_afterwards(asked: list[str]) -> None:
    lines: list[str] = []
    module: dict[str, Any] = {"__name__": "fastembed.common.model_management", "logger": loguru.logger}
    exec("def log(text): logger.error(text)", module)
    sink = loguru.logger.add(lambda line: lines.append(str(line)))
    try:
        load_listed(lambda name, **options: module["log"]("Could not download"), "Org/Tiny", LISTED)
        assert lines == []
        module["log"]("afterwards")
    finally:
        loguru.logger.remove(sink)
    assert "afterwards" in lines[0]
