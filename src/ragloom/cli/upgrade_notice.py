"""Notice about an index of older code, with replacing commands."""

from __future__ import annotations

from collections.abc import Sequence

from ragloom.assembly import Assembly
from ragloom.config.fingerprint import difference
from ragloom.core.suggested_commands import command


def upgrade_notice(assembly: Assembly, arguments: Sequence[str]) -> str | None:
    """Return the notice; None where this release's code built the index.

    Args:
        assembly: that has opened the index.
        arguments: of this command, without the question: overrides, and `--config-dir DIR`.
    """
    if (older := assembly.older) is None:
        return None
    versions = ", ".join(difference(older.description, assembly.description)).replace(" / ", " -> ")
    keys = [item for item in arguments if not item.startswith("vector_store.alias=")]
    aliases = [alias for alias, index in assembly.database.aliases().items() if index == older.name] or ["ALIAS"]
    promotions = "; ".join(command("indexes", ["promote", assembly.index_name, alias, *keys]) for alias in aliases)
    return (
        f"index {older.name} was built by former versions of the code ({versions}) and still answers; its successor: "
        f"{command('ingest', [*keys, 'dry_run=true'])} (what it costs; cached texts cost nothing); "
        f"{command('ingest', keys)}; {promotions} (where an alias is used); {command('indexes', ['prune', *keys])}"
    )
