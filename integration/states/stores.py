"""States of what the agents depend on: etcd away or full, a registry away or one that answers with megabytes."""

from collections.abc import Iterator
from contextlib import contextmanager

from integration.cluster import EXAMPLE, PREFIX, Cluster
from integration.lab.host import Host
from integration.states.state import CRITICAL, UNKNOWN, WARNING, State, service
from tests.support.document import document

ETCD_SETTINGS = "/etc/default/etcd"
QUOTA_BYTES = 8 * 1024 * 1024
FILL = """
export ETCDCTL_API=3
head -c 1000000 /dev/zero | tr '\\0' x >/tmp/fill
for n in $(seq 1 12); do etcdctl put /fill/$n </tmp/fill >/dev/null || break; done
rm /tmp/fill
etcdctl alarm list | grep NOSPACE
"""
EMPTY = """
export ETCDCTL_API=3
revision=$(etcdctl get --write-out=json /fill | sed 's/.*"revision":\\([0-9]*\\).*/\\1/')
etcdctl del --prefix /fill
etcdctl compact "$revision" || true
for member in 10.159.62.231 10.159.62.232 10.159.62.233; do etcdctl --endpoints=$member:2379 defrag; done
etcdctl alarm disarm
"""
MOST_STATUS = 100_000
"""Characters of a status in etcd, whatever a registry says."""
NEW = "never-pulled"
LOUD = "127.0.0.1:5011"
SERVER = f"""\
import http.server, json
class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = self.path == "/v2/"
        body = b"{{}}" if ok else json.dumps(
            {{"errors": [{{"code": "DENIED", "message": "no access " * 300_000}}]}}).encode()
        self.send_response(200 if ok else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", {LOUD.partition(":")[2]}), Registry).serve_forever()
"""


@contextmanager
def etcd_away(cluster: Cluster) -> Iterator[None]:
    """No etcd runs on any host."""
    cluster.on_every_host(lambda host: host.systemctl("stop", "etcd"))
    try:
        yield
    finally:
        cluster.on_every_host(lambda host: host.systemctl("start", "--no-block", "etcd"))
        cluster.lab.wait_etcd()


@contextmanager
def etcd_full(cluster: Cluster) -> Iterator[None]:
    """A small quota of etcd on every host; keys of another program fill it."""
    own = {host.name: host.read(ETCD_SETTINGS) for host in cluster.lab.hosts}
    _set_etcd(
        cluster, {name: f'{text}ETCD_QUOTA_BACKEND_BYTES="{QUOTA_BYTES}"\n' for name, text in own.items()}
    )
    try:
        cluster.lab.hosts[0].exec("bash", "-c", FILL)
        yield
    finally:
        cluster.lab.hosts[0].exec("bash", "-c", EMPTY)
        _set_etcd(cluster, own)


def _set_etcd(cluster: Cluster, settings: dict[str, str]) -> None:
    """Restart the members one after the other, so that the majority stays."""
    for host in cluster.lab.hosts:
        host.write(ETCD_SETTINGS, settings[host.name])
        host.systemctl("restart", "etcd")
        cluster.lab.wait_etcd()


@contextmanager
def registry_away(cluster: Cluster) -> Iterator[None]:
    """The registry is stopped once it has an image that no host has pulled."""
    cluster.lab.push("api", NEW)
    host = cluster.lab["node-231"]
    host.systemctl("stop", "docker-registry")
    try:
        yield
    finally:
        host.systemctl("start", "docker-registry")


@contextmanager
def loud_registry(cluster: Cluster) -> Iterator[None]:
    """A registry on node-231 that answers each request for an image with 403 and 3 MB of text."""
    host: Host = cluster.lab["node-231"]
    host.write("/run/loud-registry.py", SERVER)
    host.exec("systemd-run", "--unit=loud-registry", "python3", "/run/loud-registry.py")
    try:
        yield
    finally:
        host.systemctl("stop", "loud-registry")
        stored = len(cluster.etcdctl("get", "--print-value-only", f"{PREFIX}hosts/{host.name}/status"))
        assert stored < MOST_STATUS, stored


STATES = (
    State(
        name="etcd-away",
        done="etcd is stopped on every host.",
        fault=etcd_away,
        reason="StoreUnreachable",
        state="Unknown",
        code=UNKNOWN,
        first=("etcd",),
        also=("node-231",),
        led=False,
        within_s=90,
    ),
    State(
        name="etcd-out-of-space",
        done="Keys of another program fill etcd up to its quota.",
        fault=etcd_full,
        cause="store",
        reason="StoreFull",
        state="Blocked",
        code=UNKNOWN,
        first=("etcd", "space"),
        within_s=90,
    ),
    State(
        name="registry-away",
        done="The registry is stopped, and the document names an image that no host has pulled.",
        document=document(EXAMPLE, tags={"api": NEW}),
        fault=registry_away,
        cause="(image|replica|rollout|service)/.*",
        reason="PullFailed",
        state="Degraded",
        code=WARNING,
        first=("api",),
        also=("refused|does not answer",),
    ),
    State(
        name="registry-error-of-3-mb",
        done="The registry of a new service answers with 403 and 3 MB of text.",
        document=service("loud", f"restart: always\nimage: {LOUD}/somecom/order:1.0.0"),
        fault=loud_registry,
        cause="(image|replica|service)/.*",
        reason="PullFailed",
        state="Degraded",
        code=CRITICAL,
        first=("loud|order",),
    ),
)
