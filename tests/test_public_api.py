"""The public Python API: pinned names, documentation, light import, notebooks."""

import doctest
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ragloom
from places import ROOT

PUBLIC = [
    "BenchmarkResult",
    "Comparison",
    "Config",
    "ConfigError",
    "DataError",
    "Estimate",
    "EvaluationCallbacks",
    "EvaluationResult",
    "IngestSummary",
    "QueryResult",
    "RagloomError",
    "ServiceError",
    "Sweep",
    "SweepPlan",
    "__version__",
    "answer",
    "benchmark",
    "compare",
    "dry_run",
    "evaluate",
    "ingest",
    "load_config",
    "plan",
    "query_engine",
    "search",
    "sweep",
]


def notebook_code() -> str:
    text = (ROOT / "docs" / "how-to" / "notebook.md").read_text("utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_all_names_exactly_the_public_api() -> None:
    assert sorted(ragloom.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_public_name_has_documented_parameters(name: str) -> None:
    value = getattr(ragloom, name)
    doc = inspect.getdoc(value) or ""
    assert doc
    if inspect.isfunction(value):
        arguments = [key for key in inspect.signature(value).parameters if key not in ("config", "question")]
        assert all(f"{key}:" in doc for key in arguments)
        assert "Raises:" in doc


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ragloom.nonsense


def test_no_public_function_is_hidden_by_a_package_of_the_same_name() -> None:
    packages = {path.stem for path in (ROOT / "src" / "ragloom").iterdir()}
    assert not packages & set(PUBLIC)


def test_import_is_light() -> None:
    code = "import ragloom, sys; print([name for name in ('hydra', 'llama_index', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_without_pandas_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ragloom.ConfigError, match="pip install pandas"):
        ragloom.IngestSummary("index").to_pandas()


@pytest.mark.slow
def test_examples_of_the_docstring_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(ragloom)
    assert outcome.attempted >= 4
    assert outcome.failed == 0


@pytest.mark.slow
def test_notebook_guide_runs_within_an_event_loop_from_standard_input(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pip install pandas")
    cells = (
        f"import asyncio\n\nasync def cells():\n{textwrap.indent(notebook_code(), '    ')}\n\nasyncio.run(cells())\n"
    )
    done = subprocess.run([sys.executable, "-"], input=cells, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "tokens to embed" in done.stdout
    assert "0.0 US dollars at most" in done.stdout
    assert "chunking.chunk_size=-1" in done.stdout
    assert "dense2" in done.stdout
