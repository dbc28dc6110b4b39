"""Messages between two processes over a socket: one pickled value each, its large buffers beside it, uncopied.

Both ends are this program: what is unpickled was pickled by a process that it started itself.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

_HEAD = struct.Struct("<BIQ")
"""What kind of message, how many buffers, how many bytes of pickle; then 8 bytes for the size of each buffer."""
_SIZE = struct.Struct("<Q")
COMMAND = struct.Struct("<cq")
"""`F` and 0: fork a worker, whose socket comes with it. `E` and a process id: end that worker."""
FORKED = struct.Struct("<q")
"""The worker's process id, or the negative error number."""
ENDED = struct.Struct("<?iq")
"""Whether it has ended; its exit status (negative: the signal); the most bytes it had beyond what it began with."""
_TOGETHER = 1 << 16
"""Bytes up to which head and pickle are sent in one call."""
_READ_AHEAD = 1 << 18

Frame = list[bytes | memoryview]
"""A message as it is sent."""


class Kind(IntEnum):
    """What a message is."""

    ITEM = 1
    VALUE = 2
    RAISED = 3
    FAILED = 4
    OUT_OF_MEMORY = 5
    ASK = 6
    ANSWER = 7
    REFUSAL = 8
    RETIRE = 9


@dataclass(frozen=True, slots=True)
class Head:
    """The announcement of a message."""

    kind: Kind
    pickled: int
    buffers: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes that follow."""
        return self.pickled + sum(self.buffers)


def frame(kind: Kind, value: object) -> Frame:
    """Makes a message.

    Raises:
        Exception: whatever pickling the value raises.
    """
    found: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=found.append)
    buffers = [item.raw() for item in found]
    head = _HEAD.pack(kind, len(buffers), len(pickled)) + b"".join(_SIZE.pack(item.nbytes) for item in buffers)
    if len(pickled) <= _TOGETHER:
        return [head + pickled, *buffers]
    return [head, pickled, *buffers]


class Wire:
    """One end of a socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._incoming = cast(io.BufferedReader, end.makefile("rb", buffering=_READ_AHEAD))

    def send(self, message: Frame) -> None:
        """Sends a message as a whole.

        Raises:
            OSError: the other end is gone.
        """
        self._end.settimeout(None)
        for part in message:
            self._end.sendall(part)

    def head(self, seconds: float | None = None) -> Head | None:
        """Waits for the next message.

        Returns:
            None where the other end is closed.

        Raises:
            TimeoutError: none came in time; the wire cannot be read any more.
        """
        self._end.settimeout(seconds)
        begun = self._incoming.read(_HEAD.size)
        if len(begun) < _HEAD.size:
            return None
        kind, count, pickled = _HEAD.unpack(begun)
        sizes = self._incoming.read(count * _SIZE.size)
        if len(sizes) < count * _SIZE.size:
            return None
        return Head(Kind(kind), pickled, tuple(size for (size,) in _SIZE.iter_unpack(sizes)))

    def body(self, head: Head, stalled: float | None = None) -> object:
        """Reads the value that `head` announced.

        Args:
            stalled: seconds without a byte after which the other end counts as gone.

        Raises:
            EOFError: the other end closed before the value was complete.
            TimeoutError: it stalled.
        """
        self._end.settimeout(stalled)
        pickled = self._filled(head.pickled)
        return pickle.loads(pickled, buffers=[self._filled(size) for size in head.buffers])

    def _filled(self, size: int) -> bytearray:
        content = bytearray(size)
        view, at = memoryview(content), 0
        while at < size:
            read = self._incoming.readinto(view[at:])
            if not read:
                raise EOFError
            at += read
        return content

    def cut(self) -> None:
        """Ends the conversation for both ends; for a thread that waits for the other end, too."""
        with contextlib.suppress(OSError):  # it is closed already
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes this end."""
        self._incoming.close()
        self._end.close()
