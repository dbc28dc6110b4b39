"""Builders of the conf group `dataset`: questions and their gold.

A dataset is small and read at once: its documents are read by the source that its yaml chooses.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ragloom.config.builder_keys import Added, Fraction, Name

if TYPE_CHECKING:
    from ragloom.components.dataset.base import Dataset

OccurrenceRule = Literal["any", "first"]
"""Rule for a quote with several places in its document."""
MaxMissing = Annotated[Fraction, Added(0.1)]
"""Share of the quotes that may be missing in the documents."""


def sample(*, name: Name, occurrence: OccurrenceRule, max_missing: MaxMissing) -> "Dataset":
    """Build the questions about Ragloom's sample documents."""
    from ragloom.components.dataset.jsonl_dataset import read

    place = Path(__file__).parent / "sample.jsonl"
    return read(place, name=name, group="own", occurrence=occurrence, max_missing=max_missing)


def jsonl(
    *,
    name: Name | None,
    path: Name,
    group: Literal["own", "document", "query"],
    occurrence: OccurrenceRule,
    max_missing: MaxMissing,
) -> "Dataset":
    """Build the dataset of a file in Ragloom's own form.

    Raises:
        DataError: the file is missing, or lines of it are malformed; each is named.
    """
    from ragloom.components.dataset.jsonl_dataset import read

    place = Path(path).expanduser()
    return read(place, name=name or place.stem, group=group, occurrence=occurrence, max_missing=max_missing)


def spans(
    *,
    name: Name | None,
    path: Name,
    questions: Name,
    corpora: Name,
    group: Literal["document", "query"],
    occurrence: OccurrenceRule,
    max_missing: MaxMissing,
) -> "Dataset":
    """Build the dataset of a corpus and a table of quotes.

    Raises:
        DataError: a file is missing or malformed.
    """
    from ragloom.components.dataset.quote_dataset import read

    place = Path(path).expanduser()
    return read(
        place / questions,
        place / corpora,
        name=name or place.resolve().name,
        group=group,
        occurrence=occurrence,
        max_missing=max_missing,
    )


def beir(*, name: Name | None, path: Name, split: Name, group: Literal["document", "query"]) -> "Dataset":
    """Build the dataset of a folder in BEIR's form.

    Raises:
        DataError: a file is missing or malformed, or the split has no questions.
    """
    from ragloom.components.dataset.beir_dataset import read

    place = Path(path).expanduser()
    return read(place, split, name=name or place.resolve().name, group=group)


def squad(
    *,
    name: Name | None,
    path: Name,
    document: Literal["context", "article"],
    group: Literal["document", "article", "query"],
    max_missing: MaxMissing,
    max_file_mb: Annotated[float, Field(gt=0)],
) -> "Dataset":
    """Build the dataset of a file of SQuAD or KorQuAD.

    Raises:
        DataError: the file is missing or malformed.
    """
    from ragloom.components.dataset.squad_dataset import read

    place = Path(path).expanduser()
    return read(
        place,
        name=name or place.stem,
        document=document,
        group=group,
        max_missing=max_missing,
        max_bytes=round(max_file_mb * 1e6),
    )
