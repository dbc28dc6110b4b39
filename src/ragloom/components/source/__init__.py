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

Megabytes = Annotated[float, Field(gt=0), OPERATIONAL]
"""A size above zero, in units of 1,000,000 bytes."""
CorpusName = Annotated[Name | None, OPERATIONAL]
"""Stable name of the corpus; None takes that of the file or folder."""
Location = Annotated[Name, OPERATIONAL]
"""A path of the file system."""
OnUnreadable = Annotated[Literal["report", "stop"], OPERATIONAL]
"""Whether ingestion continues after unreadable documents."""
Switch = Annotated[bool, OPERATIONAL]
"""On or off."""
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


def _options(name: str, max_mb: float, on_unreadable: str, verify: bool, moved: bool) -> dict[str, Any]:
    """Return the options that all sources of the user's files have."""
    max_bytes = round(max_mb * 1_000_000)
    return {"name": name, "max_bytes": max_bytes, "on_unreadable": on_unreadable, "verify": verify, "moved": moved}


@code_version(1)
def sample(*, name: Annotated[Name, OPERATIONAL], on_unreadable: OnUnreadable, verify: Switch) -> "SampleSource":
    """Build the source of Ragloom's own sample documents."""
    from ragloom.components.source.file_source import SampleSource

    return SampleSource(name=name, on_unreadable=on_unreadable, verify=verify)


@code_version(2)
@checked_by(_pattern_rule, _folder_name_rule)
def folder(
    *,
    name: CorpusName,
    path: Location,
    include: Annotated[list[Name], Field(min_length=1), OPERATIONAL],
    exclude: Annotated[list[Name], OPERATIONAL],
    max_file_mb: Megabytes,
    on_unreadable: OnUnreadable,
    verify: Switch,
    moved: Moved,
) -> "FolderSource":
    """Build the source of all readable files below a folder.

    Raises:
        ConfigError: a pattern is not relative, or the folder has no name and none is set.
    """
    from ragloom.components.source.file_source import FolderSource

    place = Path(path).expanduser()
    options = _options(name or _folder_name(place), max_file_mb, on_unreadable, verify, moved)
    return FolderSource(path=place, include=list(include), exclude=list(exclude), **options)


@code_version(1)
@checked_by(_file_name_rule)
def jsonl(
    *,
    name: CorpusName,
    path: Location,
    id_field: Name,
    text_field: Name,
    metadata_field: Name | None,
    max_line_mb: Megabytes,
    on_unreadable: OnUnreadable,
    verify: Switch,
    moved: Moved,
) -> "JsonlSource":
    """Build the source of a JSON Lines file, one document per line.

    Raises:
        ConfigError: the file has no name and none is set.
    """
    from ragloom.components.source.jsonl_source import JsonlSource

    place = Path(path).expanduser()
    options = _options(name or _file_name(place), max_line_mb, on_unreadable, verify, moved)
    return JsonlSource(path=place, id_field=id_field, text_field=text_field, metadata_field=metadata_field, **options)


@code_version(2)
@checked_by(_folder_name_rule)
def spans(
    *,
    name: CorpusName,
    path: Location,
    corpora: Location,
    max_file_mb: Megabytes,
    on_unreadable: OnUnreadable,
    verify: Switch,
    moved: Moved,
) -> "FolderSource":
    """Build the source of the corpus folder of a quote dataset.

    Raises:
        ConfigError: the folder has no name and none is set.
    """
    from ragloom.components.source.file_source import FolderSource

    place = Path(path).expanduser()
    options = _options(name or _folder_name(place), max_file_mb, on_unreadable, verify, moved)
    return FolderSource(path=place / corpora, include=["**"], exclude=[], **options)


@code_version(1)
@checked_by(_folder_name_rule)
def beir(
    *,
    name: CorpusName,
    path: Location,
    title_separator: Name | None,
    max_line_mb: Megabytes,
    on_unreadable: OnUnreadable,
    verify: Switch,
    moved: Moved,
) -> "BeirSource":
    """Build the source of a corpus folder in BEIR format.

    Raises:
        ConfigError: the folder has no name and none is set.
    """
    from ragloom.components.source.jsonl_source import BeirSource

    place = Path(path).expanduser()
    options = _options(name or _folder_name(place), max_line_mb, on_unreadable, verify, moved)
    return BeirSource(path=place / "corpus.jsonl", title_separator=title_separator, **options)


@code_version(1)
@checked_by(_file_name_rule)
def squad(
    *,
    name: CorpusName,
    path: Location,
    document: Literal["context", "article"],
    max_file_mb: Megabytes,
    on_unreadable: OnUnreadable,
    verify: Switch,
    moved: Moved,
) -> "SquadSource":
    """Build the source of a SQuAD file: its paragraphs or articles.

    Raises:
        ConfigError: the file has no name and none is set.
    """
    from ragloom.components.source.squad_source import SquadSource

    place = Path(path).expanduser()
    options = _options(name or _file_name(place), max_file_mb, on_unreadable, verify, moved)
    return SquadSource(path=place, document=document, **options)
