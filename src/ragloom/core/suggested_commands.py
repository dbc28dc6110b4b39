"""Commands for hints, in the form in which this program was started."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ragloom.core.redaction import redact_override

_SCRIPTS = {verb: f"{verb}.py" for verb in ("ingest", "evaluate", "benchmark", "compare", "indexes", "cache")} | {
    "query": "run_query.py"
}


def command(verb: str, arguments: Sequence[str] = ()) -> str:
    """Write a command as `ragloom VERB ...` or `python scripts/VERB.py ...`."""
    program = Path(sys.argv[0])
    as_script = program.name in _SCRIPTS.values()
    start = f"python {(program.parent / _SCRIPTS[verb]).as_posix()}" if as_script else f"ragloom {verb}"
    return " ".join([start, *(shlex.quote(redact_override(argument)) for argument in arguments)])


def program(verb: str) -> str:
    """Return the name of a program: `ragloom indexes` or `indexes.py`."""
    return _SCRIPTS[verb] if Path(sys.argv[0]).name in _SCRIPTS.values() else f"ragloom {verb}"
