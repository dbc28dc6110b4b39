"""The concurrency page names every module that uses a thread, process, lock, queue or context variable."""

from __future__ import annotations

import ast
import re

import pytest

from places import ROOT

PAGE = (ROOT / "docs" / "explanation" / "concurrency.md").read_text("utf-8")
PRIMITIVES = {
    "asyncio.to_thread",
    "atexit.register",
    "concurrent.futures.ProcessPoolExecutor",
    "concurrent.futures.ThreadPoolExecutor",
    "contextvars.ContextVar",
    "contextvars.copy_context",
    "fcntl.flock",
    "filelock.FileLock",
    "os.fork",
    "os.register_at_fork",
    "queue.Queue",
    "queue.SimpleQueue",
    "ragloom.core.timing.in_context",
    "ragloom.process_pool.pool.ProcessPool",
    "signal.signal",
    "subprocess.Popen",
    "subprocess.run",
    *(f"multiprocessing.{name}" for name in ("Pool", "Process", "get_context")),
    *(f"threading.{name}" for name in ("Condition", "Event", "Lock", "RLock", "Semaphore", "Thread", "Timer", "local")),
}


def used_primitives(code: str) -> set[str]:
    """Return the primitives that a module's code refers to, also under other names."""
    tree = ast.parse(code)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    references = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute))
    return {full for text in references if (full := names.get(text) or _resolved(text, names)) in PRIMITIVES}


def _resolved(text: str, names: dict[str, str]) -> str:
    module, _, rest = text.partition(".")
    return f"{names.get(module, module)}.{rest}"


MODULES = {
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "src").rglob("*.py"))
}
USES = [
    (module, primitive if primitive in {"subprocess.run", "atexit.register"} else primitive.rpartition(".")[2])
    for module, path in MODULES.items()
    for primitive in sorted(used_primitives(path.read_text("utf-8")))
]


@pytest.mark.parametrize("module", sorted({module for module, _ in USES}))
def test_page_names_module_with_each_of_its_primitives(module: str) -> None:
    rows = [line for line in PAGE.splitlines() if f"`{module}`" in line]
    missing = [name for of, name in USES if of == module and not any(f"`{name}`" in row for row in rows)]
    assert missing == [], f"docs/explanation/concurrency.md: a row with `{module}` must name {missing}"


def test_page_names_only_modules_that_exist() -> None:
    assert set(re.findall(r"`(ragloom(?:\.\w+)+)`", PAGE)) <= MODULES.keys()


@pytest.mark.parametrize(
    ("code", "primitive"),
    [
        ("import threading\nclass A(threading.Thread): pass", "threading.Thread"),
        ("from threading import Lock as L\nx = field(default_factory=L)", "threading.Lock"),
        ("import concurrent.futures as f\nf.ThreadPoolExecutor(2)", "concurrent.futures.ThreadPoolExecutor"),
        (
            "import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor(2)",
            "concurrent.futures.ThreadPoolExecutor",
        ),
        ("import subprocess\nsubprocess.Popen([])", "subprocess.Popen"),
    ],
)
def test_use_is_recognized(code: str, primitive: str) -> None:
    assert used_primitives(code) == {primitive}
