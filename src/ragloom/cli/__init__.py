"""Command line: mains of `ragloom VERB ...` and the scripts, importing lazily."""

from __future__ import annotations

import importlib
import sys

VERBS = {
    "ingest": "sync an index with its source (a Hydra program: KEY=VALUE arguments)",
    "evaluate": "measure a config on a dataset, or sweep over several (a Hydra program: KEY=VALUE arguments)",
    "benchmark": "measure p99 under load, open loop, and the capacity (a Hydra program: KEY=VALUE arguments)",
    "query": "ask a question and get a cited answer",
    "compare": "say which of several evaluated configs is better, what is not settled, and which one to ship",
    "indexes": "list, show, compare, delete, rebuild, promote and prune indexes",
    "init": "write a project file, ragloom.yaml: what is the same in every command",
    "cache": "show, verify and prune the embedding cache",
}


def main(argv: list[str] | None = None) -> int:
    """Run `ragloom VERB ...`; return the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    verb = arguments[0] if arguments else "--help"
    if verb in VERBS:
        status: int = importlib.import_module(f"ragloom.cli.{verb}").main(arguments[1:])
        return status
    if verb == "--version":
        from ragloom import __version__

        sys.stdout.write(f"ragloom {__version__}\n")
        return 0
    width = max(map(len, VERBS))
    lines = ["usage: ragloom VERB ...", "", *(f"  {name:<{width}}  {text}" for name, text in VERBS.items())]
    lines += ["", "ragloom VERB --help says more."]
    if verb in ("-h", "--help"):
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    from ragloom.errors import nearest

    sys.stderr.write(f"ragloom: {verb!r} must be a verb{nearest(verb, VERBS)}\n")
    return 1
