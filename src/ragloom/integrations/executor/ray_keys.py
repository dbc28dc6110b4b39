"""Rules for the keys of `executor=ray`, beyond ranges of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_ADDRESS = re.compile(r"(ray://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})")


def address_rule(values: Mapping[str, Any]) -> Iterator[str]:
    """Check the form of the cluster's address."""
    address = values["address"]
    if address in (None, "auto"):
        return
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[3]) < 65_536:
        yield (
            f"executor: executor.address={address!r} must be auto, HOST:PORT or ray://HOST:PORT; write null to start "
            "a cluster of this machine"
        )
