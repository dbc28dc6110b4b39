"""Kind of the file system that a folder is on."""

from __future__ import annotations

from pathlib import Path

_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
_NETWORK |= {"ocfs2", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "wekafs"}
_NETWORK_FUSE = {"blobfuse2", "ceph", "gcsfuse", "glusterfs", "goofys", "juicefs", "mfs", "rclone", "s3fs", "sshfs"}
MOUNTS = Path("/proc/self/mountinfo")
"""Linux's table of mounts of this process."""


def network_file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the kind of a network file system; None otherwise.

    Args:
        folder: may be missing; then the nearest existing folder above it counts.
        mounts: the table of mounts, as mountinfo(5) describes it; without it, nothing is known.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    path = folder.expanduser().resolve()
    kinds = dict(_mounted(line) for line in lines)  # of several mounts at one place the last one is seen
    place = max((mount for mount in kinds if path.is_relative_to(mount)), key=lambda mount: len(mount.parts))
    name, _, driver = kinds[place].partition(".")
    is_network = name in _NETWORK or (name == "fuse" and driver in _NETWORK_FUSE)
    return kinds[place] if is_network else None


def _mounted(line: str) -> tuple[Path, str]:
    before, _, after = line.partition(" - ")
    place = before.split(" ")[4]
    for code in ("040", "011", "012", "134"):  # blank, tab, line end, backslash
        place = place.replace(f"\\{code}", chr(int(code, 8)))
    return Path(place), after.split(" ")[0]
