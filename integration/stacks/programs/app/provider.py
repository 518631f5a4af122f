"""A provider as Dubbo's: it answers calls on its port and registers the address that it is told.

On SIGTERM it takes its registration back, answers for DRAIN_S more, as Dubbo's graceful shutdown does, and ends.
"""

import json
import os
import signal
import socketserver
import sys
import threading
import time

from registry import SERVICE, Registry

PORT = int(os.environ.get("DUBBO_PORT_TO_REGISTRY", "20880"))
DRAIN_S = 2
ADDRESS = os.environ["DUBBO_IP_TO_REGISTRY"]
URL = (
    f"dubbo://{ADDRESS}:{PORT}/{SERVICE}?application=order&dubbo=2.0.2&interface={SERVICE}&methods=order&pid=1"
    f"&side=provider&timestamp={int(time.time() * 1000)}"
)
ITSELF = {"address": ADDRESS, "host": os.environ.get("NODE", ""), "version": os.environ.get("VERSION", "")}


class Calls(socketserver.StreamRequestHandler):
    """A connection of a consumer: a line for a call, a line for its answer, many times."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(json.dumps({**ITSELF, "called": line.decode().strip()}).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def main() -> None:
    registry = Registry("providers", URL, watches=False)
    server = Server(("0.0.0.0", PORT), Calls)

    def end(*_: object) -> None:
        threading.Thread(target=drain).start()

    def drain() -> None:
        registry.end()
        time.sleep(DRAIN_S)
        server.shutdown()

    signal.signal(signal.SIGTERM, end)
    registry.start()
    server.serve_forever()
    sys.exit(0)


main()
