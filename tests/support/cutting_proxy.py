"""A TCP proxy on loopback that cuts its connections when a test says so: what was sent may have been executed or not."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading


class CuttingProxy:
    """Forwards to a port of this machine.

    Args:
        target: the port.

    Attributes:
        port: to connect to.
        cuts: how often connections were reset.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets every connection, in the middle of whatever is sent."""
        with self._lock:
            sockets, self._open = self._open, []
        self.cuts += bool(sockets)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
                one.shutdown(socket.SHUT_RDWR)
                one.close()

    def cut_at_random(self, seed: int, least: float, most: float) -> None:
        """Goes on cutting, after so many seconds each time, until the end."""
        draw = random.Random(seed)

        def run() -> None:
            while not self._ended.wait(draw.uniform(least, most)):
                self.cut()

        threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        """Ends everything."""
        self._ended.set()
        self._listener.close()
        self.cut()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_forward, args=(source, target), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
