"""The registry of the lab: Debian's docker-registry on the host with the address the scenario names.

Images are pushed over the registry's documented API (https://distribution.github.io/distribution/spec/api/),
each time the lab comes up; what is there already costs one question.
"""

import http.client
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.images import MANIFEST_TYPE, Blob, Image
from integration.lab.lan import Lan

ADDRESS = "10.159.62.231"
UNIT = ("docker-registry.service", "multi-user.target")
CONFIG = {
    "version": "0.1",
    "storage": {
        "filesystem": {"rootdirectory": "/var/lib/docker-registry"},
        "delete": {"enabled": True},
        "cache": {"blobdescriptor": "inmemory"},
    },
    "http": {"addr": ":80", "secret": "one registry, nothing to share"},
}  # written as JSON, which the YAML it reads includes
DROP_IN = "[Service]\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nRestart=on-failure\n"
READY_S = 20


def files() -> dict[str, str]:
    """What the host of the registry has in addition."""
    return {
        "/etc/docker/registry/config.yml": json.dumps(CONFIG, indent=1) + "\n",
        "/etc/systemd/system/docker-registry.service.d/lab.conf": DROP_IN,
    }


def wait_ready(lan: Lan) -> None:
    eventually(lambda: lan.http_get(f"http://{ADDRESS}/v2/").status == 200, READY_S, "the registry answers")


def push(lan: Lan, images: Iterable[Image]) -> None:
    """Push images that are not there yet. Raises LabError if the registry refuses one."""
    with _connected(lan) as session:
        for image in images:
            session.push(image)


@contextmanager
def _connected(lan: Lan) -> Iterator["_Session"]:
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    with lan.inside():  # a socket stays on the network it was made on
        connection.connect()
    try:
        yield _Session(connection)
    finally:
        connection.close()


class _Session:
    """One connection to the registry."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._home: dict[str, str] = {}  # blob digest to the repository that has it

    def push(self, image: Image) -> None:
        manifest = image.manifest()
        place = f"/v2/{image.repository}/manifests/{image.tag}"
        known = self._ask("HEAD", place, accept=(200, 404), headers={"Accept": MANIFEST_TYPE})
        if known.headers["Docker-Content-Digest"] == manifest.digest:
            return
        for blob in (*image.layers, image.config):
            self._upload(image.repository, blob)
        self._ask("PUT", place, accept=(201,), body=manifest.data, headers={"Content-Type": MANIFEST_TYPE})

    def _upload(self, repository: str, blob: Blob) -> None:
        if self._ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}", accept=(200, 404)).status == 404:
            home = self._home.get(blob.digest)
            borrow = f"?mount={blob.digest}&from={home}" if home else ""
            begun = self._ask("POST", f"/v2/{repository}/blobs/uploads/{borrow}", accept=(201, 202))
            if begun.status == 202:
                place = begun.headers["Location"]
                joint = "&" if "?" in place else "?"
                headers = {"Content-Type": "application/octet-stream"}
                self._ask("PUT", f"{place}{joint}digest={blob.digest}", (201,), blob.data, headers)
        self._home[blob.digest] = repository

    def _ask(
        self,
        method: str,
        place: str,
        accept: tuple[int, ...],
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        self._connection.request(method, place.removeprefix(f"http://{ADDRESS}"), body, headers or {})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in accept:
            raise LabError(
                f"the registry refused {method} {place}: {answer.status} {said.decode(errors='replace')}"
            )
        return answer
