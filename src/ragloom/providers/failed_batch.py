"""Requests that failed by what they hold, or may have: another part of the batch may pass."""

from __future__ import annotations

from ragloom.errors import ServiceError


class BatchFailed(ServiceError):
    """A request failed, and what it holds may be why: another one may pass.

    Attributes:
        says: the reason alone.
        billed: the server may bill what was sent last.
    """

    def __init__(self, *problems: str, says: str = "", billed: bool = False) -> None:
        super().__init__(*problems)
        self.says, self.billed = says, billed


class RequestRefused(BatchFailed):
    """A server will not have what a request holds."""


class Unanswered(BatchFailed):
    """A server failed at a request, or hung, as often as it was tried."""


class TooManyRefused(ServiceError):
    """More texts of a request are bad than may be.

    Attributes:
        refused: how many.
        says: why the last one is.
    """

    def __init__(self, refused: int, says: str) -> None:
        super().__init__(f"embedding: the server fails at {refused} texts: {says}")
        self.refused, self.says = refused, says
