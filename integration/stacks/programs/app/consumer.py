"""A consumer as Dubbo's: it calls the providers that it finds in ZooKeeper, by turns, and counts what it gets.

A call that fails is tried at the next provider, twice at most, as Dubbo's failover does. GET / on port 8080 tells the
counts in JSON: `lost` calls had no answer from anyone.
"""

import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from registry import SERVICE, Registry

ADDRESS = os.environ["DUBBO_IP_TO_REGISTRY"]
URL = f"consumer://{ADDRESS}/{SERVICE}?application=shop&category=consumers&dubbo=2.0.2&interface={SERVICE}&side=consumer"
EVERY_S, TIMEOUT_S, ATTEMPTS = 0.02, 1.0, 3
KEPT_FAILURES = 50
Provider = tuple[str, int]


class Consumer:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lines: dict[Provider, socket.socket] = {}
        self._turn = 0
        self.calls = self.lost = self.failed_attempts = 0
        self.longest_s = 0.0
        self.answered: dict[str, int] = {}
        self.failures: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self._registry.providers:
            time.sleep(EVERY_S)
        while True:
            began = time.monotonic()
            self.call()
            took = time.monotonic() - began
            self.longest_s = max(self.longest_s, took)
            time.sleep(max(0.0, EVERY_S - took))

    def call(self) -> None:
        providers = self._registry.providers
        for gone in set(self._lines) - set(providers):
            self._hang_up(gone)
        self.calls += 1
        for _ in range(ATTEMPTS if providers else 0):
            self._turn += 1
            provider = providers[self._turn % len(providers)]
            try:
                answer = self._ask(provider)
            except (OSError, ValueError) as error:
                self.failed_attempts += 1
                self._note(provider[0], error)
                self._hang_up(provider)
            else:
                said = json.loads(answer)
                key = f"{said['address']} on {said['host']} {said['version']}"
                self.answered[key] = self.answered.get(key, 0) + 1
                return
        self.lost += 1
        if not providers:
            self._note("", "no provider is registered")

    def _note(self, provider: str, error: object) -> None:
        failure = {"at": time.time(), "provider": provider, "error": str(error)}
        self.failures = [*self.failures, failure][-KEPT_FAILURES:]

    def _ask(self, provider: Provider) -> bytes:
        if provider not in self._lines:
            self._lines[provider] = socket.create_connection(provider, timeout=TIMEOUT_S)
        line = self._lines[provider]
        line.sendall(b"order\n")
        answer = b""
        while not answer.endswith(b"\n"):
            more = line.recv(4096)
            if not more:
                raise OSError("the provider closed the connection")
            answer += more
        return answer

    def _hang_up(self, provider: Provider) -> None:
        line = self._lines.pop(provider, None)
        if line is not None:
            line.close()

    def told(self) -> dict[str, Any]:
        """The counts since the start."""
        return {
            "address": ADDRESS,
            "providers": [f"{host}:{port}" for host, port in self._registry.providers],
            "sessions": self._registry.sessions,
            "calls": self.calls,
            "lost": self.lost,
            "failed_attempts": self.failed_attempts,
            "longest_s": round(self.longest_s, 3),
            "answered": self.answered,
            "failures": self.failures,
        }


def main() -> None:
    registry = Registry("consumers", URL, watches=True)
    consumer = Consumer(registry)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(consumer.told()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    registry.start()
    threading.Thread(target=consumer.run, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 8080), Page).serve_forever()
    sys.exit(0)


main()
