"""Rules between keys of one option, declared by its builder."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from ragloom.errors import ConfigError

Rule = Callable[[Mapping[str, Any]], Iterable[str]]
"""The keys of an option (and the `group`, where its builder takes one) -> problems, one line each.

Each key has passed its type check before.
"""
Arguments = ParamSpec("Arguments")
Product = TypeVar("Product")


def checked_by(*rules: Rule) -> Callable[[Callable[Arguments, Product]], Callable[Arguments, Product]]:
    """Declare the rules between a builder's keys.

    `config.validation` applies them; so does a call of the builder, which raises ConfigError with all problems before
    its body runs.
    """

    def declare(builder: Callable[Arguments, Product]) -> Callable[Arguments, Product]:
        @functools.wraps(builder)
        def build(*args: Arguments.args, **keys: Arguments.kwargs) -> Product:
            values = inspect.signature(builder).bind(*args, **keys).arguments
            if problems := key_problems(build, values):
                raise ConfigError(*problems)
            return builder(*args, **keys)

        build.rules = rules  # type: ignore[attr-defined]
        return build

    return declare


def key_problems(builder: Callable[..., Any], values: Mapping[str, Any]) -> list[str]:
    """List the problems between values of a builder's keys."""
    return [problem for rule in getattr(builder, "rules", ()) for problem in rule(values)]
