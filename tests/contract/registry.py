"""A registry that has nothing, and says why: run inside the network of a dockerd, `python registry.py PORT`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWERS = {
    "absent": (404, "MANIFEST_UNKNOWN", "manifest unknown"),
    "secret": (401, "UNAUTHORIZED", "authentication required"),
    "busy": (429, "TOOMANYREQUESTS", "you have reached your pull rate limit"),
    "broken": (503, "UNAVAILABLE", "service unavailable"),
}
"""By repository: what is said to a request for its manifest."""


class Registry(BaseHTTPRequestHandler):
    """Version 2 of the registry's HTTP API, as far as a pull that fails needs it."""

    def do_GET(self) -> None:
        status, code, message = (200, "", "") if self.path == "/v2/" else ANSWERS[self.path.split("/")[2]]
        body = json.dumps({"errors": [{"code": code, "message": message}]} if code else {}).encode()
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's word

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()
