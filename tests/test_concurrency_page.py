"""The concurrency page names every module that uses a thread, process, lock, queue or context variable."""

from __future__ import annotations

import ast
import re

import pytest

from places import ROOT

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
    "ragloom.core.run_context.in_context",
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


def test_page_lists_every_module_with_its_primitives() -> None:
    uses = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        if primitives := used_primitives(path.read_text("utf-8")):
            uses[module] = ", ".join(sorted(f"`{_short(name)}`" for name in primitives))
    page = (ROOT / "docs" / "explanation" / "concurrency.md").read_text("utf-8")
    assert dict(re.findall(r"^\| `(ragloom[\w.]*)` \| (.*?) \|", page, re.MULTILINE)) == uses


def _short(name: str) -> str:
    return name if name in {"subprocess.run", "atexit.register"} else name.rpartition(".")[2]


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
