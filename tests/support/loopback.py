"""A server on this machine that speaks OpenAI's protocol, so that tests run the real client, with faults on demand.

    with OpenAIServer(script=[status(429, retry_after=1)]) as server:
        ...  # base_url=server.base_url: the first request is refused, all others are answered
        assert len(server.requests) == 2

`/v1/embeddings` gives each text a vector that depends on the text alone (`vector_of`), `/v1/chat/completions` gives
`answer`, whole or as a stream. It refuses what OpenAI refuses: no model, blank inputs, more than 2,048 inputs, inputs
over `max_tokens`, a wrong key. Each entry of `script` is the fault of one request, in order; None is no fault.
"""

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import numpy as np

ITEMS_PER_REQUEST = 2048  # OpenAI's limit
PIECE = 4  # characters per streamed piece


@dataclass(frozen=True)
class Request:
    """What the server was sent."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        delay: seconds before anything is answered.
        status: answered with `message` instead of the result.
        raw: body answered instead of the result, as it is.
        edit: changes the result before it is sent (in a stream: each piece).
        break_after: characters of a streamed reply, or bytes of a whole one, after which the connection is cut.
        end_after: characters of a streamed reply after which the stream ends as if it were complete.
        hang_after: characters of a streamed reply after which nothing comes for `delay` seconds.
        hang_up: the connection is closed without an answer.
        trickle: seconds between the bytes of a whole answer.
    """

    delay: float = 0.0
    status: int = 200
    message: str = "scripted fault"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"
    edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    break_after: int | None = None
    end_after: int | None = None
    hang_after: int | None = None
    hang_up: bool = False
    trickle: float = 0.0


def status(
    number: int, *, retry_after: str | float | None = None, code: str | None = None, message: str = "no"
) -> Fault:
    """Refuses with a status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault(status=number, headers=headers, code=code, message=message)


def raw(body: bytes, content_type: str = "application/json") -> Fault:
    """Answers 200 with another body."""
    return Fault(raw=body, content_type=content_type)


def slow(seconds: float) -> Fault:
    """Answers late."""
    return Fault(delay=seconds)


def edit(change: Callable[[dict[str, Any]], object]) -> Fault:
    """Changes the result in place."""

    def changed(body: dict[str, Any]) -> dict[str, Any]:
        change(body)
        return body

    return Fault(edit=changed)


class OpenAIServer:
    """Runs from `with` to its end on a free port of 127.0.0.1; see the module's docstring.

    Attributes:
        requests: what was sent, in order.
        tokens: of all inputs answered, by `count`.
        refuses: says of an input whether a request that holds it is refused.
        spoils: gives the fault of a request that holds an input, where it is at fault.
        root: path and query under which it answers; with `api-version` it takes keys as Azure does.
    """

    def __init__(
        self,
        script: Iterable[Fault | None] = (),
        *,
        dimensions: int = 8,
        answer: str | Callable[[list[dict[str, str]]], str] = "An answer [1].",
        finish_reason: str = "stop",
        api_key: str | None = None,
        max_tokens: int = 8191,
        count: Callable[[str], int] = lambda text: len(text.split()),
        reports_usage: bool = True,
        refuses: Callable[[str], bool] = lambda text: False,
        spoils: Callable[[str], Fault | None] = lambda text: None,
        root: str = "/v1",
    ) -> None:
        self.script = list(script)
        self.dimensions = dimensions
        self.answer = answer
        self.finish_reason = finish_reason
        self.api_key = api_key
        self.max_tokens = max_tokens
        self.count = count
        self.reports_usage = reports_usage
        self.refuses = refuses
        self.spoils = spoils
        self.path, _, self.query = root.partition("?")
        self.requests: list[Request] = []
        self.tokens = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}{root}"

    def __enter__(self) -> "OpenAIServer":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, request: Request) -> Fault:
        """Records a request and says what is to go wrong with it."""
        with self._lock:
            self.requests.append(request)
            scripted = self.script.pop(0) if self.script else None
        inputs = request.body.get("input", [])
        spoiled = [fault for text in inputs if (fault := self.spoils(text)) is not None]
        return scripted or (spoiled[0] if spoiled else Fault())

    def wait(self, seconds: float) -> None:
        """Waits, but not beyond the end of the test."""
        self._done.wait(seconds)

    def counted(self, texts: list[str]) -> int:
        """Counts the tokens of inputs that are answered."""
        tokens = sum(map(self.count, texts))
        with self._lock:
            self.tokens += tokens
        return tokens


def vector_of(text: str, dimensions: int = 8) -> np.ndarray:
    """The vector that the server gives to a text: of length 1, the same in every process."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports an error of the test's server, unless it is a client that went away, also between two requests."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, number: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.number, self.code = number, code


class _Handler(BaseHTTPRequestHandler):
    owner: OpenAIServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self.owner.take(Request(self.path, dict(self.headers), body))
        try:
            self._answer(body, fault)
        except _Refused as refused:
            self._send_error(refused.number, str(refused), refused.code, {})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up waiting, as the test wants

    def _answer(self, body: dict[str, Any], fault: Fault) -> None:
        if fault.delay and fault.hang_after is None:
            self.owner.wait(fault.delay)
        if fault.hang_up:
            self.close_connection = True
            return
        if fault.status != 200 and fault.raw is not None:
            self._send(fault.status, fault.raw, {"Content-Type": fault.content_type})
            return
        if fault.status != 200:
            self._send_error(fault.status, fault.message, fault.code, fault.headers)
            return
        if fault.raw is not None:
            self._send(200, fault.raw, {"Content-Type": fault.content_type, **fault.headers})
            return
        self._check(body)
        if body.get("stream"):
            self._stream(body, fault)
            return
        if fault.trickle:
            self._trickle(fault.trickle)
            return
        result = self._embeddings(body) if "/embeddings" in self.path else self._completion(body)
        if not self.owner.reports_usage:
            result.pop("usage")
        self._send_json(fault.edit(result) if fault.edit else result, fault.break_after)

    def _check(self, body: dict[str, Any]) -> None:
        key = self.owner.api_key
        azure = "api-version" in self.owner.query
        sent = f"Bearer {self.headers.get('api-key', '')}" if azure else self.headers.get("Authorization", "")
        if key is not None and (sent != f"Bearer {key}" or (azure and "Authorization" in self.headers)):
            # OpenAI repeats the key, partly masked; other servers repeat all of it.
            raise _Refused(401, f"Incorrect API key provided: {sent.removeprefix('Bearer ')}.", "invalid_api_key")
        path, _, query = self.path.partition("?")
        known = path.removeprefix(self.owner.path) in ("/embeddings", "/chat/completions")
        if not body.get("model") or not known or query != self.owner.query:
            raise _Refused(404, f"The model `{body.get('model')}` does not exist", "model_not_found")

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if not texts or len(texts) > ITEMS_PER_REQUEST or not all(texts):
            raise _Refused(400, "'$.input' is invalid", "invalid_request_error")
        for text in texts:
            if self.owner.refuses(text):
                raise _Refused(400, "input was rejected by the content policy", "content_policy_violation")
            if self.owner.count(text) > self.owner.max_tokens:
                raise _Refused(400, f"This model's maximum context length is {self.owner.max_tokens} tokens")
        tokens = self.owner.counted(texts)
        vectors = [vector_of(text, body.get("dimensions", self.owner.dimensions)) for text in texts]
        coded = body.get("encoding_format") == "base64"
        written = [base64.b64encode(v.astype("<f4").tobytes()).decode() if coded else v.tolist() for v in vectors]
        return {
            "object": "list",
            "model": body["model"],
            "data": [{"object": "embedding", "index": at, "embedding": item} for at, item in enumerate(written)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def _reply(self, body: dict[str, Any]) -> tuple[str, dict[str, int]]:
        answer = self.owner.answer
        text = answer if isinstance(answer, str) else answer(body["messages"])
        given = self.owner.counted([message["content"] for message in body["messages"]])
        made = self.owner.count(text)
        return text, {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        text, usage = self._reply(body)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self.owner.finish_reason}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [choice],
            "usage": usage,
        }

    def _stream(self, body: dict[str, Any], fault: Fault) -> None:
        text, usage = self._reply(body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(body, fault, {"role": "assistant", "content": ""})
        for at in range(0, len(text), PIECE):
            if fault.break_after is not None and at >= fault.break_after:
                self.close_connection = True
                return  # without the last chunk: the client sees a connection that was cut
            if fault.end_after is not None and at >= fault.end_after:
                break
            if fault.hang_after is not None and at >= fault.hang_after:
                self.owner.wait(fault.delay)
            self._event(body, fault, {"content": text[at : at + PIECE]})
        else:
            self._event(body, fault, {}, self.owner.finish_reason)
            if (body.get("stream_options") or {}).get("include_usage") and self.owner.reports_usage:
                self._event(body, fault, None, usage=usage)
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(
        self,
        body: dict[str, Any],
        fault: Fault,
        delta: dict[str, Any] | None,
        finish_reason: str | None = None,
        usage: dict[str, int] | None = None,
    ) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
        event = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": body["model"],
            "choices": choices,
            "usage": usage,
        }
        event = fault.edit(event) if fault.edit else event
        self._chunk(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n")

    def _trickle(self, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b" ")
            self.owner.wait(seconds)

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%X\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _send_error(self, number: int, message: str, code: str | None, headers: dict[str, str]) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self._send(number, json.dumps({"error": error}).encode(), {"Content-Type": "application/json", **headers})

    def _send_json(self, result: Any, break_after: int | None) -> None:
        body = json.dumps(result, ensure_ascii=False).encode()
        self._send(200, body, {"Content-Type": "application/json"}, break_after)

    def _send(self, number: int, body: bytes, headers: dict[str, str], break_after: int | None = None) -> None:
        self.send_response(number)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:break_after])
        self.close_connection |= break_after is not None  # before the length that was announced

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keeps the test's output clean."""
