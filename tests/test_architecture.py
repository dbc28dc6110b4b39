"""The house rules that a test can hold: parallel trees, signatures, import layers, light start."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ragloom.config import COMPONENTS, locate
from ragloom.values import keys_of, needs_of

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "ragloom"
YAMLS = sorted(path for group in COMPONENTS for path in (ROOT / "conf" / group).glob("*.yaml"))
IDS = [f"{path.parent.name}={path.stem}" for path in YAMLS]

SHARED = {
    "core",
    "errors",
    "records",
    "gold",
    "values",
    "secrets",
    "normal",
    "squad",
    "measures",
    "nodes",
    "outline",
    "commonmark",
    "markdown_lines",
    "tokenizer",
    "timing",
    "cost",
    "messages",
    "provider",
    "cache",
    "workers",
    "invocation",
    "spooled",
    "native",
    "maintenance",
    "model_download",
}
"""Low modules that every component may use; they use only each other."""
GROUPS = set(COMPONENTS)
VERBS = {"ingestion", "reading", "query", "citations", "comparison"}
TOP = {"config", "overrides", "fingerprint", "building", "assembly", "opening"}


def builders(group: str) -> dict[str, object]:
    module = importlib.import_module(f"ragloom.{group}")
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and name != "check"
    }


@pytest.mark.parametrize("path", YAMLS, ids=IDS)
def test_yaml_keys_are_its_builders_keys(path: Path) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    builder = locate(tree.pop("_target_"), [])
    defaults = set(tree) - {"defaults"}
    built_in = {"ragloom.judge", "ragloom.llm"} if path.parent.name == "judge" else {f"ragloom.{path.parent.name}"}
    assert ".".join(builder.__module__.split(".")[:2]) in built_in, "a judge is an LLM"
    presets = [name for entry in tree.get("defaults", []) for name in entry if not name.startswith("override ")]
    if not presets:  # a preset only sets what differs; a dataset chooses its source as well
        assert defaults == set(keys_of(builder))


@pytest.mark.parametrize("group", COMPONENTS)
def test_every_builder_has_a_yaml_of_its_name_and_no_defaults(group: str) -> None:
    for name, builder in builders(group).items():
        assert (ROOT / "conf" / group / f"{name}.yaml").is_file(), f"conf/{group}/{name}.yaml is missing"
        for parameter in inspect.signature(builder).parameters.values():  # type: ignore[arg-type]
            assert parameter.default is inspect.Parameter.empty, f"{group}.{name}: {parameter.name} has a default"
        assert set(needs_of(builder)) <= {"embedding", "analyzer", "llm", "index", "group"}  # type: ignore[arg-type]


@pytest.mark.parametrize("path", YAMLS, ids=IDS)
def test_yaml_opens_with_what_it_is_and_how_to_select_it_and_explains_each_key(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = [line for line in text.splitlines()[:8] if line.startswith("#") and not line.startswith("# @package")]
    assert len(header) >= 2
    assert f"{path.parent.name}={path.stem}" in " ".join(header), "the header names the command that selects it"
    for line in text.splitlines():
        if re.match(r"[a-z_]\w*:", line) and not line.startswith(("_target_", "defaults")):
            assert "#" in line, f"{path.name}: {line!r} has no comment"


@pytest.mark.parametrize("group", ["source", "chunking", "analyzer", "embedding", "vector_store"])
def test_every_builder_that_shapes_an_index_declares_its_code_version(group: str) -> None:
    for name, builder in builders(group).items():
        assert isinstance(builder.code_version, int), name  # type: ignore[attr-defined]


def imports_of(path: Path) -> set[str]:
    """The modules of ours that a file imports when it runs, type checking aside: `ragloom.x.y` -> `x`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(item)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in node.body
        for item in ast.walk(child)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ragloom"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ragloom.")}
    return found - {"__version__"}


def test_imports_point_down_only() -> None:
    wrong = []
    for path in sorted(SRC.rglob("*.py")):
        part = path.relative_to(SRC).parts[0].removesuffix(".py")
        allowed = {
            "__init__": set(),
            "cli": SHARED
            | TOP
            | VERBS
            | {"cli", "vector_store", "trial", "trials", "stages", "sweeping", "evaluation", "benchmark"},
            "trial": SHARED | VERBS | TOP | {"evaluation", "stages", "benchmark"},
            "evaluation": SHARED  # the stages that it asks and keeps, by their records
            | VERBS
            | {"evaluation", "metrics", "stages", "fingerprint", "retriever", "vector_store", "source"},
            "benchmark": SHARED,
            "stages": SHARED | {"fingerprint"},
            "trials": SHARED,
            "sweeping": SHARED,
            "assembly": SHARED | VERBS | TOP | {"vector_store"},
            "opening": SHARED | {"fingerprint", "vector_store"},
            "building": SHARED | {"config", "llm"},
            "config": SHARED | {"between", "overrides"},
            "between": SHARED,
            "overrides": SHARED,
            "fingerprint": SHARED,
            "ingestion": SHARED | {"source", "vector_store", "reading"},  # for their records and errors
            "reading": SHARED | {"source"},
            "query": SHARED | {"citations", "prompt"},
            "citations": SHARED,
            "metrics": SHARED,
            "comparison": SHARED,
            **dict.fromkeys(SHARED, SHARED),
            **{group: SHARED | {group} for group in GROUPS},
        }[part]
        wrong += [f"{path.relative_to(SRC)} imports {name}" for name in sorted(imports_of(path) - allowed - {part})]
    assert not wrong, "\n".join(wrong)


HEAVY = (
    "llama_index",
    "lancedb",
    "openai",
    "onnxruntime",
    "pyarrow",
    "torch",
    "pypdfium2",
    "tiktoken",
    "weaviate",
    "grpc",
)
PROBE = """
import sys
from ragloom.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
sys.stderr.write("HEAVY:" + ",".join(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["ingest", "--help"],
        ["ingest", "--cfg", "job"],
        ["ingest", "chunking=nonsense"],
        ["query", "--help"],
        ["query", "a question", "chunking.chunk_size=-1"],
        ["ingest", "vector_store=weaviate", "vector_store.index.ef=0"],
        ["indexes", "--help"],
        ["cache", "--help"],
        ["evaluate", "--help"],
        ["evaluate", "'metrics.documents=[nDCG@ten]'"],
        ["compare", "--help"],
        ["compare", "a-run", "comparison.plan=guess"],
    ],
    ids=" ".join,
)
def test_help_config_and_wrong_arguments_import_nothing_heavy(arguments: list[str]) -> None:
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.rpartition("HEAVY:")[2] == ""
    assert done.stdout or "must" in done.stderr


def test_readme_option_tables_are_those_of_conf() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "option_tables.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_lock_file_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url", text)
    assert "fastembed==" in text
    assert "pytest==" in text
    assert "weaviate-client==" in text
