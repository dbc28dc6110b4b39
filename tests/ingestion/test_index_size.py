"""Size of an index as the dry run of an ingest estimates it."""

from pathlib import Path

import pytest

from ragloom.assembly import Assembly
from ragloom.config.config import load


def assembly(root: Path) -> Assembly:
    (config,) = load(
        [
            "workers.processes=0",
            "cache.enabled=false",
            "source=folder",
            f'source.path="{root / "docs"}"',
            f'vector_store.path="{root / "store"}"',
            "embedding.dimensions=16",
        ]
    )
    return Assembly(config)


def write(root: Path, *names: str) -> None:
    (root / "docs").mkdir(exist_ok=True)
    for name in names:
        (root / "docs" / f"{name}.txt").write_text(f"{name} " * 50, encoding="utf-8")


def test_most_of_an_index_is_estimated_from_its_own_bytes_per_chunk_and_a_new_one_from_its_texts(
    tmp_path: Path,
) -> None:
    write(tmp_path, "anchor", "bell")
    with assembly(tmp_path) as stages:
        new = stages.rehearse()
        texts = [len("anchor " * 50), len("bell " * 50)]
        by_text = [16 * 4 + 2.5 * size + 200 for size in texts]
        assert new.new_chunks == 2
        assert new.index_bytes == pytest.approx(sum(by_text), rel=0.02)  # white space at the ends of texts
        stages.ingest()
        info = stages.database.open(stages.index_name).info
        assert stages.rehearse().index_bytes == info.bytes
        write(tmp_path, "cabin")
        assert stages.rehearse().index_bytes == int(info.bytes / 2 * 3)
        write(tmp_path, "decks", "ferry", "gulls")  # more than are stored
        assert stages.rehearse().index_bytes == pytest.approx(6 * (16 * 4 + 2.5 * len("cabin " * 50) + 200), rel=0.02)
