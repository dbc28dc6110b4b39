"""The kind of a file system is read from the table of mounts; a folder that is not there has that of the one above."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragloom.cache.embeddings.embedding_cache import EmbeddingCache
from ragloom.core import file_systems
from ragloom.core.budget import Budget
from ragloom.core.file_systems import network_file_system
from ragloom.errors import ConfigError
from ragloom.integrations.executor.ray_cluster.shared_services import SharedServices
from ragloom.integrations.executor.ray_cluster.task_records import TaskError
from ragloom.providers.rate_limiter import Rates

MOUNTS = """\
21 1 8:1 / / rw - ext4 /dev/sda1 rw
22 21 0:20 / {root}/share rw shared:1 - nfs4 server:/export rw
23 22 8:2 / {root}/share/local rw - xfs /dev/sdb1 rw
24 21 0:30 / {root}/with\\040blank rw - fuse.sshfs host:/ rw
25 21 0:31 / {root}/own rw - fuse.encfs encfs rw
26 21 0:32 / {root}/twice rw - tmpfs tmpfs rw
27 26 0:33 / {root}/twice rw - cifs //server/share rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS.format(root=tmp_path), encoding="utf-8")
    return table


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("share/missing/cache", "nfs4"),
        ("share/local/cache", None),
        ("shared", None),
        ("with blank", "fuse.sshfs"),
        ("own", None),
        ("twice", "cifs"),
        (".", None),
    ],
)
def test_kind_is_that_of_the_nearest_mount(tmp_path: Path, mounts: Path, folder: str, kind: str | None) -> None:
    assert network_file_system(tmp_path / folder, mounts) == kind


def test_nothing_is_known_without_a_table_of_mounts(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "none") is None


def test_cache_of_a_cluster_is_refused_on_a_network_file_system(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    monkeypatch.setattr(network_file_system, "__defaults__", (mounts,))
    EmbeddingCache(tmp_path / "local", max_bytes=1).demand_local()
    with pytest.raises(ConfigError, match="nfs4"):
        EmbeddingCache(tmp_path / "share" / "cache", max_bytes=1).demand_local()


def test_shared_services_check_the_cache_on_their_own_node(
    tmp_path: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_file_system, "__defaults__", (mounts,))

    def opened(folder: str) -> TaskError | None:
        cache = EmbeddingCache(tmp_path / folder, max_bytes=1).for_model({"model": "m"}, dimensions=3, name="m")
        return SharedServices(Budget(max_usd=None, max_tokens=None, price=0), Rates(), cache, None).open()

    assert opened("local") is None
    error = opened("share/cache")
    assert error is not None
    with pytest.raises(ConfigError, match=r"nfs4.*on node the-head"):
        raise error.exception("the-head")
