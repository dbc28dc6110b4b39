"""Process that ingests while questions are timed."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import Any

from ragloom.assembly import Assembly
from ragloom.config.config import Config
from ragloom.core.budget import within
from ragloom.errors import ConfigError
from ragloom.process_pool.messages import MessageKind, MessageSocket, encode

_SUFFIX = "-benchmark"
"""Added to the source's name: the index of a `copy`."""


def ingest_meanwhile(messages: MessageSocket, config: Config) -> None:
    """Ingest until the parent says stop; entry of the process.

    `benchmark.ingest=copy` writes an index of another name in the same store, over and over, and deletes it; `sync`
    syncs the config's own index once.

    Args:
        messages: to the parent: ingests, embedded texts and seconds go out at the end.
        config: validated.
    """
    stop = threading.Event()
    threading.Thread(target=_wait, args=(messages, stop), name="ragloom-stop", daemon=True).start()
    started = time.monotonic()
    if config.tree["benchmark"]["ingest"] == "sync":
        with Assembly(config) as assembly:
            ingests, texts = 1, assembly.ingest(stop=stop.is_set).embedded
    else:
        ingests, texts = _copy(config, stop)
    record = {"ingests": ingests, "embedded": texts, "seconds": round(time.monotonic() - started, 3)}
    messages.send(encode(MessageKind.VALUE, record))


def _copy(config: Config, stop: threading.Event) -> tuple[int, int]:
    ingests = texts = 0
    with Assembly(config) as assembly:
        budget = assembly.budget()  # of all rounds together
    while not stop.is_set():
        with within(budget), Assembly(_renamed(config)) as assembly:
            if assembly.database.has(assembly.index_name):  # a former benchmark was killed
                assembly.database.delete(assembly.index_name)
            summary = assembly.ingest(stop=stop.is_set)
            texts += summary.embedded
            ingests += 1
            assembly.database.delete(assembly.index_name)
        if summary.stopped is not None:  # the budget is spent
            break
    return ingests, texts


def _renamed(config: Config) -> Config:
    """Copy a config with another source name, and so another index.

    Raises:
        ConfigError: the source has no key `name`.
    """
    if "name" not in config.tree["source"]:
        raise ConfigError(
            f"config: benchmark.ingest=copy needs a source with a key `name`, and source={config.choices['source']} "
            "has none; set benchmark.ingest to sync or none"
        )
    with Assembly(config) as assembly:
        name = f"{assembly.source.name}{_SUFFIX}"
    source: dict[str, Any] = {**config.tree["source"], "name": name}
    store: dict[str, Any] = {**config.tree["vector_store"]}
    if "alias" in store:
        store["alias"] = None
    return replace(config, tree={**config.tree, "source": source, "vector_store": store})


def _wait(messages: MessageSocket, stop: threading.Event) -> None:
    with contextlib.suppress(OSError, EOFError):  # the parent died
        messages.receive()
    stop.set()
