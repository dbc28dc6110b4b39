"""Planned times and questions of a load, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Arrival = Literal["poisson", "constant"]
"""Independent users, or equal distances."""


@dataclass(frozen=True)
class Load:
    """Requests of one measurement.

    Attributes:
        questions: one for each request.
        offsets: `[n] float64`, seconds from the start at which each request leaves; None: closed loop, where a request
            leaves when another one has come back.
        in_flight: requests at the same time in a closed loop.
        timeout: seconds from the planned time after which a request counts as failed.
        most_waiting: the load ends early when so many requests wait for their reply; None: never.
    """

    questions: list[str]
    offsets: np.ndarray | None
    in_flight: int
    timeout: float
    most_waiting: int | None = None


def planned_offsets(rate: float, count: int, arrival: Arrival, random: np.random.Generator) -> np.ndarray:
    """Plan when requests leave.

    Args:
        rate: requests per second.
        count: of requests.
        arrival: `poisson`: exponential distances; `constant`: equal ones.
        random: of the distances.

    Returns:
        `[count] float64`: seconds from the start, ascending.
    """
    if arrival == "constant":
        return np.arange(count) / rate
    return np.cumsum(random.exponential(1 / rate, count))


def drawn(questions: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """Draw questions with replacement."""
    return [questions[at] for at in random.integers(len(questions), size=count)]
