"""An endpoint that speaks OpenAI's protocol and costs the machine almost nothing: python endpoint.py DIM SECONDS SLOTS

It answers every embeddings request after a latency, a few at once as a provider's limit would have it, from bytes that
were written beforehand: all texts get the same vector, which changes nothing for what is measured. One thread, asyncio
and no framework. `/seen` tells when each request came and its answer went, `/reset` forgets it.
"""

import asyncio
import base64
import json
import sys
import time

import numpy as np

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Endpoint:
    """Answers what it is asked."""

    def __init__(self, dimensions: int, latency: float, slots: int) -> None:
        vector = np.random.default_rng(0).standard_normal(dimensions).astype("<f4")
        self._coded = json.dumps(base64.b64encode(vector.tobytes()).decode()).encode()
        self._numbers = json.dumps(vector.tolist()).encode()
        self._latency, self._slots = latency, asyncio.Semaphore(slots)
        self._answers: dict[tuple[int, bool], bytes] = {}
        self.spans: list[tuple[float, float]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                body = await reader.readexactly(length)
                answer = await self._answer(head.split(b" ", 2)[1].decode(), body)
                writer.write(_HEAD % len(answer))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, path: str, body: bytes) -> bytes:
        if path == "/reset":
            self.spans.clear()
            return b"{}"
        if path == "/seen":
            return json.dumps(self.spans).encode()
        came = time.time()
        async with self._slots:
            await asyncio.sleep(self._latency)
        asked = json.loads(body)
        self.spans.append((came, time.time()))
        return self._embeddings(len(asked["input"]), asked.get("encoding_format") == "base64")

    def _embeddings(self, texts: int, coded: bool) -> bytes:
        if (texts, coded) not in self._answers:
            vector = self._coded if coded else self._numbers
            items = (b'{"object":"embedding","index":%d,"embedding":%b}' % (at, vector) for at in range(texts))
            usage = b'"usage":{"prompt_tokens":%d,"total_tokens":%d}' % (texts, texts)
            self._answers[texts, coded] = b'{"object":"list","model":"m",%b,"data":[%b]}' % (usage, b",".join(items))
        return self._answers[texts, coded]


async def main(dimensions: int, latency: float, slots: int) -> None:
    """Serves until it is killed; prints its address."""
    server = await asyncio.start_server(Endpoint(dimensions, latency, slots).serve, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
