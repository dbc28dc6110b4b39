"""Builds one option with its yaml's own defaults, so that a test states only the keys it is about."""

import importlib
from typing import Any

import yaml

from places import ROOT
from ragloom.config.builder_keys import needs_of

CONF = ROOT / "conf"


def defaults(group: str, option: str) -> dict[str, Any]:
    """Reads a yaml's keys."""
    keys = yaml.safe_load((CONF / group / f"{option}.yaml").read_text("utf-8"))
    del keys["_target_"]
    return keys


def make(group: str, option: str, **changed: Any) -> Any:
    """Calls the builder with the yaml's keys, some changed."""
    keys = defaults(group, option)
    assert set(changed) <= set(keys), set(changed) - set(keys)
    builder = getattr(importlib.import_module(f"ragloom.components.{group}"), option)
    given = {"group": group} if "group" in needs_of(builder) else {}
    return builder(**given, **(keys | changed))
