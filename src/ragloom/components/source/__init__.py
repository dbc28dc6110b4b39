"""Builders of the `source` group: the documents of a corpus.

A source lists entries, reads the bytes of an entry and parses them into a LlamaIndex `Document` with normalized text.
Unreadable documents are reported with a reason and never stop the others.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ragloom.config.builder_keys import OPERATIONAL, Added, Name, code_version
from ragloom.config.key_rules import checked_by

if TYPE_CHECKING:
    from ragloom.components.source.file_source import FolderSource, SampleSource
    from ragloom.components.source.jsonl_source import BeirSource, JsonlSource
    from ragloom.components.source.squad_source import SquadSource

Megabytes = Annotated[float, Field(gt=0)]
"""A size above zero, in units of 1,000,000 bytes."""

Moved = Annotated[bool, OPERATIONAL, Added(False)]
"""Whether an index filled from another root accepts this one."""


def _pattern_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Require patterns of paths relative to the folder."""
    for key in ("include", "exclude"):
        for pattern in values[key]:
            parts = pattern.split("/")
            if "" in parts or "." in parts or ".." in parts or "\\" in pattern:
                yield (
                    f"source: {key}={pattern!r} must be a pattern of paths relative to source.path, with '/'; "
                    "for example '**/*.md' (any folder) or 'manuals/**' (all of one folder)"
                )


def _folder_name_rule(values: Mapping[str, Any]) -> Iterator[str]:
    return _name_problems(values, _folder_name)


def _file_name_rule(values: Mapping[str, Any]) -> Iterator[str]:
    return _name_problems(values, _file_name)


def _name_problems(values: Mapping[str, Any], name_of: Callable[[Path], str]) -> Iterator[str]:
    """Require a name for the corpus, without file access."""
    path = Path(values["path"]).expanduser()
    if values["name"] is None and not name_of(path):
        yield f"source: name=null must be set: path={str(path)!r} has no name"


def _folder_name(path: Path) -> str:
    return path.resolve().name


def _file_name(path: Path) -> str:
    return path.stem


@code_version(1)
def sample(
    *,
    name: Annotated[Name, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
) -> "SampleSource":
    """Build the source of Ragloom's own sample documents."""
    from ragloom.components.source.file_source import SampleSource

    return SampleSource(name=name, on_unreadable=on_unreadable, verify=verify)


@code_version(2)
@checked_by(_pattern_rule, _folder_name_rule)
def folder(
    *,
    name: Annotated[Name | None, OPERATIONAL],
    path: Annotated[Name, OPERATIONAL],
    include: Annotated[list[Name], Field(min_length=1), OPERATIONAL],
    exclude: Annotated[list[Name], OPERATIONAL],
    max_file_mb: Annotated[Megabytes, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
    moved: Moved,
) -> "FolderSource":
    """Build the source of all readable files below a folder.

    Raises:
        ConfigError: a pattern is not relative, or the folder has no name and none is set.
    """
    from ragloom.components.source.file_source import FolderSource

    place = Path(path).expanduser()
    source = FolderSource(
        name=name or _folder_name(place),
        path=place,
        include=list(include),
        exclude=list(exclude),
        max_bytes=round(max_file_mb * 1_000_000),
        on_unreadable=on_unreadable,
        verify=verify,
    )
    source.moved = moved
    return source


@code_version(1)
@checked_by(_file_name_rule)
def jsonl(
    *,
    name: Annotated[Name | None, OPERATIONAL],
    path: Annotated[Name, OPERATIONAL],
    id_field: Name,
    text_field: Name,
    metadata_field: Name | None,
    max_line_mb: Annotated[Megabytes, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
    moved: Moved,
) -> "JsonlSource":
    """Build the source of a JSON Lines file, one document per line.

    Raises:
        ConfigError: the file has no name and none is set.
    """
    from ragloom.components.source.jsonl_source import JsonlFields, JsonlSource

    place = Path(path).expanduser()
    source = JsonlSource(
        name=name or _file_name(place),
        path=place,
        fields=JsonlFields(id=id_field, text=text_field, metadata=metadata_field),
        max_bytes=round(max_line_mb * 1_000_000),
        on_unreadable=on_unreadable,
        verify=verify,
    )
    source.moved = moved
    return source


@code_version(2)
@checked_by(_folder_name_rule)
def spans(
    *,
    name: Annotated[Name | None, OPERATIONAL],
    path: Annotated[Name, OPERATIONAL],
    corpora: Annotated[Name, OPERATIONAL],
    max_file_mb: Annotated[Megabytes, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
    moved: Moved,
) -> "FolderSource":
    """Build the source of the corpus folder of a quote dataset.

    Raises:
        ConfigError: the folder has no name and none is set.
    """
    from ragloom.components.source.file_source import FolderSource

    place = Path(path).expanduser()
    source = FolderSource(
        name=name or _folder_name(place),
        path=place / corpora,
        include=["**"],
        exclude=[],
        max_bytes=round(max_file_mb * 1_000_000),
        on_unreadable=on_unreadable,
        verify=verify,
    )
    source.moved = moved
    return source


@code_version(1)
@checked_by(_folder_name_rule)
def beir(
    *,
    name: Annotated[Name | None, OPERATIONAL],
    path: Annotated[Name, OPERATIONAL],
    title_separator: Name | None,
    max_line_mb: Annotated[Megabytes, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
    moved: Moved,
) -> "BeirSource":
    """Build the source of a corpus folder in BEIR format.

    Raises:
        ConfigError: the folder has no name and none is set.
    """
    from ragloom.components.source.jsonl_source import BeirSource

    place = Path(path).expanduser()
    source = BeirSource(
        name=name or _folder_name(place),
        path=place / "corpus.jsonl",
        title_separator=title_separator,
        max_bytes=round(max_line_mb * 1_000_000),
        on_unreadable=on_unreadable,
        verify=verify,
    )
    source.moved = moved
    return source


@code_version(1)
@checked_by(_file_name_rule)
def squad(
    *,
    name: Annotated[Name | None, OPERATIONAL],
    path: Annotated[Name, OPERATIONAL],
    document: Literal["context", "article"],
    max_file_mb: Annotated[Megabytes, OPERATIONAL],
    on_unreadable: Annotated[Literal["report", "stop"], OPERATIONAL],
    verify: Annotated[bool, OPERATIONAL],
    moved: Moved,
) -> "SquadSource":
    """Build the source of a SQuAD file: its paragraphs or articles.

    Raises:
        ConfigError: the file has no name and none is set.
    """
    from ragloom.components.source.squad_source import SquadSource

    place = Path(path).expanduser()
    source = SquadSource(
        name=name or _file_name(place),
        path=place,
        document=document,
        max_bytes=round(max_file_mb * 1_000_000),
        on_unreadable=on_unreadable,
        verify=verify,
    )
    source.moved = moved
    return source
