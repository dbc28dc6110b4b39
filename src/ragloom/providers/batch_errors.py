"""Errors of requests that may be due to their texts."""

from __future__ import annotations

from ragloom.errors import ServiceError


class BatchFailed(ServiceError):
    """A request failed, possibly because of its texts: another one may pass.

    Attributes:
        says: the reason alone.
        billed: the server may bill the last request.
    """

    def __init__(self, *problems: str, says: str = "", billed: bool = False) -> None:
        super().__init__(*problems)
        self.says, self.billed = says, billed


class RequestRefused(BatchFailed):
    """A server rejected the content of a request."""


class Unanswered(BatchFailed):
    """A server failed at a request, or hung, at every attempt."""


class TooManyRefused(ServiceError):
    """More texts of a request are bad than allowed.

    Attributes:
        refused: how many.
        says: why the last one is.
    """

    def __init__(self, refused: int, says: str) -> None:
        super().__init__(f"embedding: the server fails at {refused} texts: {says}")
        self.refused, self.says = refused, says
