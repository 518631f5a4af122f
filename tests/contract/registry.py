"""A registry that has next to nothing, and says why: run inside the network of a dockerd, `python registry.py PORT`.

With one more argument it shows nothing but to who is USER, who then learns that there is nothing.
"""

import base64
import hashlib
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


USER = "Basic " + base64.b64encode(b"robot:right").decode()
KNOWN = "known"
"""The repository with an image, of which only the description can be had."""
CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
).encode()
TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": TYPE,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(CONFIG),
            "digest": digest(CONFIG),
        },
        "layers": [],
    }
).encode()


class Registry(BaseHTTPRequestHandler):
    """Version 2 of the registry's HTTP API, as far as a pull that fails needs it."""

    locked = len(sys.argv) > 2
    # A TLS handshake gets an answer with a status line, which tells containerd to ask again without TLS.
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        repository = "" if self.path == "/v2/" else self.path.split("/")[2]
        if repository == KNOWN:
            return self._answer(200, CONFIG if "/blobs/" in self.path else MANIFEST, TYPE)
        status, code, message = ANSWERS.get(repository, (200, "", ""))
        if self.locked and self.headers.get("Authorization") != USER:
            status, code, message = ANSWERS["secret"]
        body = json.dumps({"errors": [{"code": code, "message": message}]} if code else {}).encode()
        return self._answer(status, body, "application/json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Docker-Content-Digest", digest(body))
        if self.locked:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - http.server's word

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Registry).serve_forever()
