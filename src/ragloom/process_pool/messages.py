"""Messages between processes over a socket, with uncopied out-of-band buffers.

Both ends are this program: it unpickles only what its own processes pickled.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, cast

_HEADER = struct.Struct("<BIQ")
"""Message kind, number of buffers, bytes of pickle; then 8 bytes for the size of each buffer."""
REQUEST = struct.Struct("<q")
"""To the fork server. 0: fork a worker for the socket that comes along; a process id: end that worker."""
REPLY = struct.Struct("<?qq")
"""From it. Fork: success, process id or error number, 0. End: known, exit status (negative: signal), peak bytes."""
_JOINED_BYTES = 1 << 16
"""Header and pickle up to this size go out in one call."""
_READ_BUFFER_BYTES = 1 << 18

Message = list[bytes | memoryview]
"""An encoded message: parts to send one after the other."""


class MessageKind(IntEnum):
    """Purpose of a message."""

    TASK = 1
    VALUE = 2
    EXCEPTION = 3
    FAILURE = 4
    OUT_OF_MEMORY = 5
    REQUEST = 6
    REPLY = 7
    CALLBACK_ERROR = 8
    RETIRE = 9


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """Kind and sizes (bytes) of the message that follows."""

    kind: MessageKind
    pickle_size: int
    buffer_sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes that follow."""
        return self.pickle_size + sum(self.buffer_sizes)


def encode(kind: MessageKind, value: object) -> Message:
    """Encode a message.

    Raises:
        Exception: any error of pickling the value.
    """
    out_of_band: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=out_of_band.append)
    buffers = [buffer.raw() for buffer in out_of_band]
    header = _HEADER.pack(kind, len(buffers), len(pickled))
    header += struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
    return [header + pickled, *buffers] if len(pickled) <= _JOINED_BYTES else [header, pickled, *buffers]


class MessageSocket:
    """A socket that carries messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = cast(io.BufferedReader, connection.makefile("rb", buffering=_READ_BUFFER_BYTES))

    def send(self, message: Message) -> None:
        """Send a whole message.

        Raises:
            OSError: the peer closed the connection.
        """
        self._socket.settimeout(None)
        for part in message:
            self._socket.sendall(part)

    def receive_header(self, timeout: float | None = None) -> MessageHeader:
        """Wait for the next message's header.

        Args:
            timeout: seconds; None = unlimited.

        Raises:
            EOFError: the peer closed the connection.
            TimeoutError: no message within `timeout`; the socket is unusable afterwards.
        """
        self._socket.settimeout(timeout)
        kind, count, pickle_size = _HEADER.unpack(self._read(_HEADER.size))
        sizes = struct.unpack(f"<{count}Q", self._read(count * 8))
        return MessageHeader(MessageKind(kind), pickle_size, sizes)

    def receive_value(self, header: MessageHeader, stall_timeout: float | None = None) -> Any:
        """Read the value after its header.

        Args:
            stall_timeout: seconds without a byte after which the peer counts as dead.

        Raises:
            EOFError: the peer closed the connection.
            TimeoutError: no byte within `stall_timeout`.
        """
        self._socket.settimeout(stall_timeout)
        pickled = self._read(header.pickle_size)
        return pickle.loads(pickled, buffers=[self._read(size) for size in header.buffer_sizes])

    def receive(self) -> tuple[MessageKind, Any]:
        """Wait for the next message.

        Raises:
            EOFError: the peer closed the connection.
        """
        header = self.receive_header()
        return header.kind, self.receive_value(header)

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        view, filled = memoryview(content), 0
        while filled < size:
            count = self._reader.readinto(view[filled:])
            if not count:
                raise EOFError
            filled += count
        return content

    def shutdown(self) -> None:
        """Disconnect both ends; also wakes a thread that waits for the peer."""
        with contextlib.suppress(OSError):  # already closed
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._reader.close()
        self._socket.close()
