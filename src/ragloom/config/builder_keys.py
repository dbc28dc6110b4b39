"""Types of config values, and keys in builder signatures.

A builder's keyword-only parameters are the keys of its yaml. Their annotations are the rule that `validation` checks
values against, and mark for `fingerprint` what shapes an index.
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
"""Mark of a key that changes speed or place, never a result: it is part of no fingerprint."""
CONTENT = _Mark("content")
"""Mark of a key that may be a path: the content of the file or folder is fingerprinted, not its name."""


@dataclass(frozen=True)
class Shapes:
    """Mark of a key whose `part(value)` alone shapes an index."""

    part: Callable[[Any], Any]


@dataclass(frozen=True)
class Added:
    """Mark of a key added later: at its `default` in no identity.

    The default is that of the yaml, and gives what the option gave before the key existed.
    """

    default: Any


HeadersEnv = Annotated[dict[Name, Name] | None, OPERATIONAL, Added(None)]
"""Headers that a server wants: header -> name of the environment variable that holds its value; None = none."""
ExtraBody = Annotated[Annotated[dict[Name, Any], Field(min_length=1)] | None, Added(None)]
"""Fields that are sent to a server with each request, besides those of other keys; None = none."""

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
    """Declare the version of what a builder's product puts out.

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
    """Return the identity of the builder at a path, without importing.

    What is ours was at `ragloom.<group>.<name>` when identities were first written, and is called so ever since.
    """
    package, _, rest = target.partition(".")
    parts = rest.split(".")
    if package != _OURS or parts[0] != _COMPONENTS or len(parts) < 3:
        return target
    return f"{_OURS}.{parts[1]}.{parts[-1]}"


def with_ids(tree: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """Copy a config with builder ids in place of their paths.

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
    """Return the builder of a version.

    Raises:
        KeyError: this release has no such version.
    """
    if number == builder.code_version:  # type: ignore[attr-defined]
        return builder
    builder_at: Callable[..., Any] = builder.former[number]  # type: ignore[attr-defined]
    return builder_at


def added_at_default(builder: Callable[..., Any], values: Mapping[str, Any]) -> list[str]:
    """List the keys that were `Added` later and have their default."""
    keys = keys_of(builder)
    return [key for key, value in values.items() if key in keys and is_added(keys[key].annotation, value)]


def is_added(annotation: Any, value: Any) -> bool:
    """Return whether a key was `Added` later and has its default."""
    marks = getattr(annotation, "__metadata__", ())
    return any(isinstance(mark, Added) and mark.default == value for mark in marks)


def keys_of(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters: the keys of a yaml.

    Annotations are evaluated, so that a builder's module may have `from __future__ import annotations`.
    """
    names = getattr(inspect.unwrap(builder), "__globals__", {})
    return {
        name: item.replace(annotation=eval(item.annotation, names)) if isinstance(item.annotation, str) else item
        for name, item in inspect.signature(builder).parameters.items()
        if item.kind is inspect.Parameter.KEYWORD_ONLY
    }


def needs_of(builder: Callable[..., Any]) -> list[str]:
    """Return the parameters before the `*`: the objects that a builder takes."""
    return [
        name
        for name, item in inspect.signature(builder).parameters.items()
        if item.kind is not inspect.Parameter.KEYWORD_ONLY
    ]


def without(tree: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Copy a config without some keys, top-level ones or `group.key`."""
    return {
        group: {key: value for key, value in node.items() if f"{group}.{key}" not in keys}
        if isinstance(node, dict)
        else node
        for group, node in tree.items()
        if group not in keys
    }


ADDED_GROUPS: dict[str, str] = {"executor": "local"}
"""Groups that were added after indexes were built and runs made -> the option that changes nothing, such as `none`.

With that option and all its keys at their `Added` defaults a group is part of no identity: no fingerprint, stage key,
sweep label or run has it. One that is in `settings.OPERATIONAL_KEYS` as well is part of none whatever its option is.
"""
