"""The machine of a benchmark, and what its processes use."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragloom.components.vector_store.weaviate_store.embedded.supervisor import STATE
from ragloom.config.config import Config
from ragloom.core.records import canonical_json, sha256

_PROC = Path("/proc")
_DIGITS = 12


def machine() -> dict[str, Any]:
    """Describe this machine; `id` is a digest of the rest."""
    described = {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _line("cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
    }
    return {"id": sha256(canonical_json(described))[:_DIGITS], **described}


@dataclass(frozen=True)
class ProcessUsage:
    """CPU time and memory at one moment.

    Attributes:
        at: `time.monotonic`.
        cpu: seconds, by process; `machine` counts all processes.
        memory: peak MB, by process.
    """

    at: float
    cpu: dict[str, float]
    memory: dict[str, float]


def usage(processes: Mapping[str, int]) -> ProcessUsage:
    """Read the usage of processes (name -> process id).

    On other systems than Linux it is empty.
    """
    cpu, memory = {}, {}
    for name, pid in processes.items():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            cpu[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue  # no /proc, or it has ended: it is missing in the result
        if peak := _line(f"{pid}/status", "VmHWM"):
            memory[name] = int(peak.split()[0]) / 1000
    if total := _line("stat", "cpu ", separator=None):
        user, nice, system = map(int, total.split()[:3])
        cpu["machine"] = (user + nice + system) / os.sysconf("SC_CLK_TCK")
    return ProcessUsage(time.monotonic(), cpu, memory)


def used(before: ProcessUsage, after: ProcessUsage) -> dict[str, Any]:
    """Return busy cores between two moments, and peak MB so far."""
    seconds = after.at - before.at
    cores = {name: round((cpu - before.cpu.get(name, cpu)) / seconds, 3) for name, cpu in after.cpu.items()}
    return {"cores": cores, "memory_mb": {name: round(peak, 1) for name, peak in after.memory.items()}}


def store_process(config: Config) -> dict[str, int]:
    """Find the embedded server of a config: name -> process id."""
    if config.choices["vector_store"] != "weaviate_embedded":
        return {}
    state = json.loads((Path(config.tree["vector_store"]["path"]).expanduser() / STATE).read_text(encoding="utf-8"))
    return {"weaviate": state["process"]}


def _line(file: str, name: str, separator: str | None = ":") -> str | None:
    """Read a value of a file in /proc; None without it."""
    try:
        lines = (_PROC / file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            return (line.partition(separator)[2] if separator else line[len(name) :]).strip()
    return None


def _memory_gb() -> int | None:
    total = _line("meminfo", "MemTotal")
    return None if total is None else round(int(total.split()[0]) / 1e6)
