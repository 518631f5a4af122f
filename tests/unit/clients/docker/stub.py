"""A server on a Unix socket that answers as a test tells it to: for what a real dockerd does only now and then."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]
Stream = Callable[[Callable[[str], None]], None]
"""Gets a function that sends a piece of the answer; the answer ends when it returns."""


class StubDockerd:
    """`answers` by method and path without version: a status and JSON, a Stream, or a list of these used up in turn."""

    def __init__(self, socket: Path, api: str = "1.41") -> None:
        self.url = f"unix://{socket}"
        self.api = api
        self.oldest = "1.24"
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        """Every request: method, path and query, with the version."""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub.answer(self)

            do_POST = do_GET  # noqa: N815 - http.server's word

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

            def get_request(self) -> tuple[Any, Any]:
                request, _ = super().get_request()
                return request, ("unix", 0)

            def handle_error(self, *_: object) -> None:
                """A client that goes away is what some tests are about."""

        self._server = Server(str(socket), Handler)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer = self._refusal(handler.path) or self._answer(f"{handler.command} {_plain(handler.path)}")
        if callable(answer):
            _stream(handler, answer)
        else:
            _whole(handler, *answer)

    def _refusal(self, path: str) -> Answer | None:
        """What dockerd says to a version that it does not support."""
        asked = path.split("/")[1].removeprefix("v")
        if not path.startswith("/v1.") or _number(self.oldest) <= _number(asked) <= _number(self.api):
            return None
        which = "old. Minimum" if _number(asked) < _number(self.oldest) else "new. Maximum"
        return 400, {"message": f"client version {asked} is too {which} supported API version is ..."}

    def _answer(self, request: str) -> Answer | Stream:
        if request == "GET /version":
            return 200, {"ApiVersion": self.api, "MinAPIVersion": self.oldest}
        answer = self.answers.get(request, (404, {"message": f"the stub has no answer to {request}"}))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        found: Answer | Stream = answer
        return found

    @contextlib.contextmanager
    def serving(self) -> Iterator["StubDockerd"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _plain(path: str) -> str:
    """Without version and query."""
    path = path.partition("?")[0]
    head, slash, rest = path.removeprefix("/").partition("/")
    return f"{slash}{rest}" if head.startswith("v1.") else path


def _whole(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def _stream(handler: BaseHTTPRequestHandler, stream: Stream) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()

    def send(piece: str) -> None:
        content = piece.encode()
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        handler.wfile.flush()

    stream(send)
    handler.wfile.write(b"0\r\n\r\n")
