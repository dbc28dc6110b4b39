"""Hydra programs: arguments checked first, configs validated once, exit status kept.

Hydra's `main` returns None, stops at the first wrong override, repeats secrets, and loses later errors of a
multirun: here all overrides are checked before Hydra runs, and the worst status of all jobs is the program's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ragloom.cli.argument_parsing import parse_keys
from ragloom.cli.config_arguments import add_project_flag, project_of
from ragloom.cli.console import FAILED, OK, print_error
from ragloom.cli.prerequisites import require_inputs
from ragloom.config.hydra_compose import CONFIG_NAME
from ragloom.errors import ConfigError, RagloomError

if TYPE_CHECKING:
    from ragloom.config.config import Config
    from ragloom.config.project_file import ProjectFile

    Multirun = tuple[Callable[[Config], int], Callable[[], int]]
    """A picklable function that runs one job of a multirun and raises nothing; and one that ends it: exit status."""


def run(
    verb: str,
    argv: list[str],
    task: Callable[[Config], int],
    *,
    sweeping: Callable[[Sequence[Config]], Multirun | int] | None = None,
) -> int:
    """Check the arguments, then hand them to Hydra.

    Args:
        verb: the program's name.
        argv: without the program's name.
        task: runs one job's config; returns its exit status.
        sweeping: makes of all configs of a multirun what runs and ends it; or an exit status, where nothing is to run.

    Raises:
        ConfigError: wrong overrides, all of them.
    """
    from hydra._internal.utils import get_args_parser  # no public module has it

    parser = get_args_parser()
    add_project_flag(parser)
    options = parse_keys(parser, argv)
    _refuse(options)
    project = project_of(options)
    if options.help or options.hydra_help or options.info or options.shell_completion:
        return _run_hydra(options, argv, project, lambda _: OK)
    from ragloom.config.config import load

    configs = load(options.overrides, extra_dir=options.config_dir, sweep=options.multirun, project=project)
    if options.cfg == "job" and options.package is None:
        from ragloom.config.key_origins import annotated_yaml

        sys.stdout.write(annotated_yaml(options.overrides, options.config_dir, project, resolve=options.resolve))
        return OK
    if options.cfg:
        return _run_hydra(options, argv, project, lambda _: OK)
    require_inputs(verb, options.overrides, configs)
    statuses: list[int] = []
    finish: Callable[[], int] = partial(_status, statuses, len(configs))
    if sweeping is not None and options.multirun:
        begun = sweeping(configs)
        if isinstance(begun, int):
            return begun
        task, finish = begun
    _run_hydra(options, argv, project, _job(task, configs, project, statuses))
    return finish()


def _status(statuses: Sequence[int], jobs: int) -> int:
    """Return the worst status of all jobs."""
    if len(statuses) < jobs:
        # A launcher that runs jobs in processes of their own (joblib, Ray) keeps their status to itself.
        sys.stderr.write(f"{jobs - len(statuses)} of {jobs} jobs ran elsewhere; their status is not known here\n")
        return FAILED
    return FAILED if FAILED in statuses else max(statuses)


def _job(
    task: Callable[[Config], int], configs: Sequence[Config], project: ProjectFile | None, statuses: list[int]
) -> Callable[[Any], int]:
    """Make Hydra's job function, which looks up the validated config."""
    known = {config.overrides: config for config in configs}

    def job(tree: Any) -> int:
        from hydra.core.hydra_config import HydraConfig

        from ragloom.config.config import from_hydra

        hydra = HydraConfig.get()
        try:
            config = known.get(tuple(hydra.overrides.task)) or from_hydra(tree, hydra.runtime.choices, project)
            status = task(config)
        except RagloomError as error:  # counted: the program's status is that of its worst job
            print_error(error)
            status = FAILED
        statuses.append(status)
        return status

    return job


def _run_hydra(options: Any, argv: list[str], project: ProjectFile | None, job: Callable[[Any], int]) -> int:
    """Run Hydra on the configs with the project file merged in."""
    import hydra

    from ragloom.config.conf_folder import conf_folder
    from ragloom.config.project_layer import layered

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # a bug keeps its traceback; Hydra would cut it and print overrides
    before = sys.argv
    sys.argv = [before[0], *_flags_first(_without_project(argv), options.overrides)]
    try:
        with layered(conf_folder(options.config_dir), project, options.overrides) as conf:
            hydra.main(version_base=None, config_path=str(conf.path), config_name=CONFIG_NAME)(job)()
    finally:
        sys.argv = before
    return OK


def _without_project(argv: list[str]) -> list[str]:
    """Leave out `--project FILE`, which Hydra does not know."""
    left: list[str] = []
    arguments = iter(argv)
    for item in arguments:
        flag, equals, _ = item.partition("=")
        if not (flag.startswith("--pr") and "--project".startswith(flag)):
            left.append(item)
        elif not equals:
            next(arguments, None)
    return left


def _flags_first(argv: list[str], overrides: list[str]) -> list[str]:
    """Put overrides behind the flags, as Hydra 1.3 demands."""
    flags = list(argv)
    for text in reversed(overrides):
        del flags[len(flags) - 1 - flags[::-1].index(text)]
    return [*flags, *overrides]


def _refuse(arguments: Any) -> None:
    """Refuse Hydra flags that would run an unchecked config."""
    for flag in ("config_path", "config_name", "experimental_rerun"):
        if getattr(arguments, flag) is not None:
            name = flag.replace("_", "-")
            raise ConfigError(
                f"--{name} must not be given; choose options by KEY=VALUE, or add a folder by --config-dir"
            )
