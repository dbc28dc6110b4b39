"""A running search service on loopback: `POST /search` and `POST /query`, with stalls and faults on demand."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class SearchService:
    """Runs from `with` to its end on a free port.

    Args:
        answer: called with the path and the question; returns status and body, after whatever time it takes.

    Attributes:
        requests: (path, body) of each request, in the order of arrival.
    """

    def __init__(self, answer: Callable[[str, str], tuple[int, dict[str, Any]]]) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answer = answer
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "SearchService":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: SearchService
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.requests.append((self.path, body))
        status, answer = self.owner.answer(self.path, body["question"])
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keeps the test's output clean."""


def answered(path: str, question: str) -> tuple[int, dict[str, Any]]:
    """Answers at once, with timings as a service reports them."""
    return 200, {"question": question, "timings_ms": {"total": 0.1, "retrieve": 0.1, "bm25": 0.1}}


class Stalls:
    """Answers at once, but for the first second of each ten, whose requests wait for its end."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._starting = threading.Lock()

    def __call__(self, path: str, question: str) -> tuple[int, dict[str, Any]]:
        with self._starting:
            self._start = self._start or time.monotonic()
        time.sleep(max(0.0, 1 - (time.monotonic() - self._start) % 10))
        return answered(path, question)
