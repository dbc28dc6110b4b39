"""Architecture rules: parallel trees, builder signatures, light start. Import contracts are in pyproject.toml."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from ragloom.config.builder_keys import keys_of, needs_of
from ragloom.config.builder_lookup import locate
from ragloom.config.settings import COMPONENTS

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "ragloom"
YAMLS = sorted(path for group in COMPONENTS for path in (ROOT / "conf" / group).glob("*.yaml"))
IDS = [f"{path.parent.name}={path.stem}" for path in YAMLS]


def package(group: str) -> str:
    """Where the builders of a group are: an executor runs stages, so that it stands above all components."""
    return f"ragloom.integrations.{group}" if group == "executor" else f"ragloom.components.{group}"


def builders(group: str) -> dict[str, object]:
    module = importlib.import_module(package(group))
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
    built_in = (
        {"ragloom.components.judge", "ragloom.components.llm"}
        if path.parent.name == "judge"
        else {package(path.parent.name)}
    )
    assert ".".join(builder.__module__.split(".")[:3]) in built_in, "a judge is an LLM"
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


HEAVY = (
    "llama_index",
    "lancedb",
    "openai",
    "onnxruntime",
    "pyarrow",
    "numpy",
    "scipy",
    "pandas",
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
        ["benchmark", "--help"],
        ["benchmark", "benchmark.timeout_ms=1"],
        ["compare", "--help"],
        ["compare", "a-run", "comparison.plan=guess"],
        ["compare", "a-run", "another"],
        ["evaluate", "-m", "chunking=fixed,nonsense"],
        ["query", "a question", "no_such_key=1"],
        ["query", "a question", "--project", "nowhere.yaml"],
        ["indexes", "list", "vector_store=nonsense"],
        ["cache", "show", "cache.max_gb=-1"],
        ["init", "no_such_key=1"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_help_config_and_wrong_arguments_import_nothing_heavy(arguments: list[str]) -> None:
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.rpartition("HEAVY:")[2] == ""
    assert done.stdout or "must" in done.stderr


def test_lock_file_names_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url", text)
    assert "fastembed==" in text
    assert "pytest==" in text
    assert "weaviate-client==" in text


SAME_ROLE_CLASSES = {
    "Analyzer": "protocol of the analyzer, narrowed to the methods that the package calls",
}
SAME_ROLE_MODULES = {
    "base": "base class and interface of a conf group",
    "database": "the database of a store or a cache",
    "validation": "value checks of the package",
    "aliases": "aliases of a store",
    "bulk_reads": "reads of a whole index in a store",
    "search": "search in a store",
    "crash_recovery": "removal of an interrupted run's leftovers in a store",
    "index_reader": "index of a store",
    "index_writer": "writer of a store",
    "errors": "errors of the package",
}


def repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def test_a_class_name_and_a_module_name_mean_one_thing() -> None:
    paths = [path for path in SRC.rglob("*.py") if path.stem != "__init__"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SRC.rglob("*.py")]
    classes = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert repeated(classes) == SAME_ROLE_CLASSES.keys()
    assert repeated(path.stem for path in paths) == SAME_ROLE_MODULES.keys()


def test_no_module_has_more_than_350_lines() -> None:
    long = {
        str(path.relative_to(SRC)): lines
        for path in SRC.rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > 350
    }
    assert not long


def _private_uses(path: Path) -> Iterator[str]:
    """Yield what a test takes of another module's private names: attributes, imports and patches."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    own |= {
        node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls")
    }
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "os", "sys"):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ragloom"):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr") and len(node.args) > 1:
            names = [str(item.value) for item in node.args[1:2] if isinstance(item, ast.Constant)]
        for name in names:
            if name.startswith("_") and not name.startswith("__") and name not in own:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {name}"


def test_tests_use_no_private_names_of_other_modules() -> None:
    frozen = ROOT / "tests" / "upgrade"  # as an older version wrote it
    paths = [path for path in sorted((ROOT / "tests").rglob("*.py")) if frozen not in path.parents]
    uses = [use for path in paths for use in _private_uses(path)]
    assert not uses, "\n".join(uses)
