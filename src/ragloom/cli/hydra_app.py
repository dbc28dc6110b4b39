"""Runs a task as a Hydra program, with its arguments checked first and its exit status kept.

Hydra's `main` returns None, stops at the first wrong override, repeats secrets, and loses later errors of a
multirun: here all overrides are checked before Hydra runs, and the worst status of all jobs is the program's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ragloom.cli.console import FAILED, OK, parsed_keys, report
from ragloom.cli.prerequisites import demand_ready
from ragloom.config.conf_folder import config_dir
from ragloom.config.hydra_compose import CONFIG_NAME
from ragloom.errors import ConfigError, RagloomError

if TYPE_CHECKING:
    from ragloom.config.config import Config


class Sweep(Protocol):
    """What a program does with all jobs of a multirun together."""

    def task(self) -> Callable[[Config], int]:
        """Gives what runs one job, picklable: launchers run jobs in processes of their own. None of it raises."""

    def finish(self) -> int:
        """Ends the sweep, whatever processes its jobs ran in; returns the exit status."""


def run(
    verb: str,
    argv: list[str],
    task: Callable[[Config], int],
    *,
    sweeping: Callable[[Sequence[Config]], Sweep | int] | None = None,
) -> int:
    """Checks the arguments, then hands them to Hydra.

    Args:
        verb: the program's name.
        argv: without the program's name.
        task: is given each job's validated config; returns its exit status.
        sweeping: is given all configs of a multirun, and makes what runs and ends it; or an exit status, where there
            is nothing to run.

    Raises:
        ConfigError: wrong overrides, all of them.
    """
    import hydra
    from hydra._internal.utils import get_args_parser

    arguments = parsed_keys(get_args_parser(), argv)
    _refuse(arguments)
    informs = arguments.help or arguments.hydra_help or arguments.info or arguments.shell_completion
    jobs = 0
    sweep: Sweep | None = None
    if not informs:
        from ragloom.config.config import load

        configs = load(arguments.overrides, extra_dir=arguments.config_dir, sweep=arguments.multirun)
        jobs = len(configs)
        if not arguments.cfg:
            demand_ready(verb, arguments.overrides, configs)
        if sweeping is not None and arguments.multirun and not arguments.cfg:
            begun = sweeping(configs)
            if isinstance(begun, int):
                return begun
            sweep, task = begun, begun.task()
    statuses: list[int] = []

    def job(tree: Any) -> int:
        from hydra.core.hydra_config import HydraConfig

        from ragloom.config.config import from_hydra

        try:
            status = task(from_hydra(tree, HydraConfig.get().runtime.choices))
        except RagloomError as error:  # counted: the program's status is that of its worst job
            report(error)
            status = FAILED
        statuses.append(status)
        return status

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # a bug keeps its traceback; Hydra would cut it and print overrides
    before = sys.argv
    sys.argv = [before[0], *_flags_first(argv, arguments.overrides)]
    try:
        hydra.main(version_base=None, config_path=str(config_dir()), config_name=CONFIG_NAME)(job)()
    finally:
        sys.argv = before
    if sweep is not None:
        return sweep.finish()
    if not informs and not arguments.cfg and len(statuses) < jobs:
        # A launcher that runs jobs in processes of their own (joblib, Ray) keeps their status to itself.
        sys.stderr.write(f"{jobs - len(statuses)} of {jobs} jobs ran elsewhere; their status is not known here\n")
        return FAILED
    return FAILED if FAILED in statuses else max(statuses, default=OK)


def _flags_first(argv: list[str], overrides: list[str]) -> list[str]:
    """Puts overrides behind the flags: Hydra 1.3 refuses those behind a flag that is between them."""
    flags = list(argv)
    for text in reversed(overrides):
        del flags[len(flags) - 1 - flags[::-1].index(text)]
    return [*flags, *overrides]


def _refuse(arguments: Any) -> None:
    """Refuses Hydra's flags that would run another config than the one that was checked."""
    for flag in ("config_path", "config_name", "experimental_rerun"):
        if getattr(arguments, flag) is not None:
            name = flag.replace("_", "-")
            raise ConfigError(
                f"--{name} must not be given; choose options by KEY=VALUE, or add a folder by --config-dir"
            )
