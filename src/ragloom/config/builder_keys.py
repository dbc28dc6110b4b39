"""The types of config values: what a builder's signature says about each key. Knows no option and no other module.

A builder's keyword-only parameters are the keys of its yaml, and their annotations are the whole rule: `config`
checks values against them without building anything, and `fingerprint` reads from them what shapes an index.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field

Positive = Annotated[int, Field(gt=0)]
"""A whole number above zero."""
NonNegative = Annotated[int, Field(ge=0)]
"""A whole number, zero included."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A share between 0 and 1."""
Seconds = Annotated[float, Field(gt=0)]
"""A time span above zero."""
Name = Annotated[str, Field(min_length=1)]
"""A text that is not empty."""


@dataclass(frozen=True)
class _Mark:
    name: str


OPERATIONAL = _Mark("operational")
"""Marks a key that changes how fast or where something runs, never what it yields: it is no part of a fingerprint."""
CONTENT = _Mark("content")
"""Marks a key that may be a path: where it is one, the content of the file or folder is fingerprinted, not its name."""


@dataclass(frozen=True)
class Shapes:
    """Marks a key of which only a part shapes an index: what `part` returns for its value is fingerprinted."""

    part: Callable[[Any], Any]


@dataclass(frozen=True)
class Added:
    """Marks a key that was added after indexes were built: at its `default` it is left out of every identity.

    The default is that of the yaml, and gives what the option gave before the key existed.
    """

    default: Any


HeadersEnv = Annotated[dict[Name, Name] | None, OPERATIONAL, Added(None)]
"""Headers that a server wants: header -> name of the environment variable that holds its value; None = none."""
ExtraBody = Annotated[Annotated[dict[Name, Any], Field(min_length=1)] | None, Added(None)]
"""Fields that are sent to a server with each request, beside those of other keys; None = none."""

Builder = TypeVar("Builder", bound=Callable[..., Any])


TARGET = "_target_"
"""The key of a yaml that names its builder: `module.name`."""
_OURS = "ragloom"
_COMPONENTS = "components"


def code_version(
    number: int,
    *,
    id: str | None = None,
    depends_on: str | None = None,
    former: Mapping[int, Callable[..., Any]] | None = None,
) -> Callable[[Builder], Builder]:
    """Declares the version of what a builder's product puts out.

    Args:
        number: from 1.
        id: what the builder is called in every identity, such as `my_rag.chunker`; None: its module and name. Give the
            old path when you move a builder, so that indexes, caches and runs made before stay valid.
        depends_on: a distribution whose own version decides the output as well (such as one that ships a model).
        former: builders of former versions, by their number. Analyzers, embeddings and stores keep all of them: an
            index that one of them built is queried by it until its successor is there.

    Raise it whenever the same input and keys give another output: indexes built before are then not mistaken for new
    ones. (The package's own version is not used, since it would re-embed everything at each release.)
    """

    def declare(builder: Builder) -> Builder:
        builder.code_version = number  # type: ignore[attr-defined]
        builder.declared_id = id  # type: ignore[attr-defined]
        builder.depends_on = depends_on  # type: ignore[attr-defined]
        builder.former = dict(former or {})  # type: ignore[attr-defined]
        return builder

    return declare


def builder_id(builder: Callable[..., Any]) -> str:
    """Name a builder for identities, independent of where our modules lie.

    Returns:
        the id that it declares (`code_version(1, id=...)`); otherwise `ragloom.<group>.<name>` for a builder of ours,
        and `module.name` for one of an extension.
    """
    return declared_id(builder) or stable_target(f"{builder.__module__}.{builder.__name__}")


def declared_id(builder: Callable[..., Any]) -> str | None:
    """Return the id that a builder declares; None without one."""
    return getattr(builder, "declared_id", None)


def stable_target(target: str) -> str:
    """Name the builder at a dotted path as identities do, without importing it.

    What is ours was at `ragloom.<group>.<name>` when identities were first written, and is called so ever since.
    """
    package, _, rest = target.partition(".")
    parts = rest.split(".")
    if package != _OURS or parts[0] != _COMPONENTS or len(parts) < 3:
        return target
    return f"{_OURS}.{parts[1]}.{parts[-1]}"


def with_ids(tree: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """Copy a config with the id of each group's builder in place of its path.

    Args:
        tree: a composed config.
        declared: group -> id that its builder declares.
    """
    return {
        group: {**node, TARGET: declared.get(group) or stable_target(node[TARGET])}
        if isinstance(node, dict) and TARGET in node
        else node
        for group, node in tree.items()
    }


def at_version(builder: Callable[..., Any], number: int) -> Callable[..., Any]:
    """Returns the builder of a version.

    Raises:
        KeyError: this release has no such version.
    """
    if number == builder.code_version:  # type: ignore[attr-defined]
        return builder
    found: Callable[..., Any] = builder.former[number]  # type: ignore[attr-defined]
    return found


def added_at_default(builder: Callable[..., Any], values: Mapping[str, Any]) -> list[str]:
    """Lists the keys that are part of no identity: `Added` later, and at their default."""
    return [
        key
        for key, parameter in keys_of(builder).items()
        for mark in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(mark, Added) and key in values and mark.default == values[key]
    ]


def keys_of(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters that are a yaml's keys: the keyword-only ones."""
    return {
        name: item
        for name, item in inspect.signature(builder).parameters.items()
        if item.kind is inspect.Parameter.KEYWORD_ONLY
    }


def needs_of(builder: Callable[..., Any]) -> list[str]:
    """Returns the names of what a builder is given: its parameters before the `*`."""
    return [
        name
        for name, item in inspect.signature(builder).parameters.items()
        if item.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


def without(tree: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Copies a config without some keys of its groups, given as `group.key`."""
    return {
        group: {key: value for key, value in node.items() if f"{group}.{key}" not in keys}
        if isinstance(node, dict)
        else node
        for group, node in tree.items()
    }


OPERATIONAL_KEYS = frozenset(
    {
        "output",
        "runs",
        "cache",
        "stages",
        "workers",
        "concurrency",
        "ingest",
        "latency",
        "dry_run",
        "budget",
        "prices",
        "explain",
        "retry_failed",
        "comparison",
        "max_delete_fraction",
        "allow_mass_delete",
    }
)
"""Top-level keys of a config that decide neither what is measured nor what comes out."""
