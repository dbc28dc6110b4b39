"""Project file on the command line: flag, printed line, and config."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragloom.core.redaction import redact

if TYPE_CHECKING:
    from ragloom.config.config import Config
    from ragloom.config.project_file import ProjectFile


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where configs lie."""
    parser.add_argument("--config-dir", metavar="DIR", help="a folder with further options (as conf/)")
    add_project_flag(parser)


def add_project_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--project`."""
    parser.add_argument(
        "--project",
        metavar="FILE",
        help="project file (default: ragloom.yaml in the working directory); none = no file",
    )


def project_of(options: argparse.Namespace) -> ProjectFile | None:
    """Read the project file of a command; name it on standard error.

    Raises:
        ConfigError: it is missing or wrong.
    """
    from ragloom.config.conf_folder import conf_folder
    from ragloom.config.project_file import find_project

    project = find_project(options.project, conf_folder(options.config_dir))
    if project is not None:
        sys.stderr.write(f"project file: {redact(str(project.path))}\n")
    return project


def config_of(options: argparse.Namespace, overrides: Sequence[str]) -> Config:
    """Load the one config of a command.

    Raises:
        ConfigError: all problems, one line each.
    """
    from ragloom.config.config import load

    (config,) = load(list(overrides), extra_dir=options.config_dir, project=project_of(options))
    return config


def config_arguments(options: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """Return the arguments with which another command has the same config."""
    flags = {"--config-dir": options.config_dir, "--project": options.project}
    return [*(item for flag, value in flags.items() if value is not None for item in (flag, value)), *overrides]
