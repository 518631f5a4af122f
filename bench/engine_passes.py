"""bench/engine: processor time and calls of a host's passes with many replicas: one tree and one size in a process.

A whole agent works on a dockerd that another process plays: it lists and shows the containers that the agent made in a
simulation before, and sends an event when it is told to. Kernel and etcd are in memory. It runs on whichever checkout
PYTHONPATH names.
"""

import gc
import http.client
import json
import logging
import os
import signal
import socket
import socketserver
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import structlog

import agent
from agent.clients.docker import DockerEngine
from agent.errors import Unreachable
from agent.model.host_state import HostState
from agent.model.intent import GWBRIDGE
from tests.fakes.engine import FakeEngine
from tests.support.simulated_cluster import CLUSTER, SimulatedAgent, SimulatedCluster

LEADER, HOST = "node-231", "node-232"
ADDRESS = "10.159.62.232"
SERVICES = 10
NETWORK = "my-network-overlay"
ROUNDS = 15
LISTENS_S = 10.0

_DOCUMENT = f"""\
name: prod
x-cluster:
  version: 1
  hosts:
    {LEADER}: {{address: 10.159.62.231, role: manager}}
    {HOST}: {{address: {ADDRESS}, role: worker}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  {NETWORK}: {{name: {NETWORK}, attachable: true, ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}}}
services:
"""
_SERVICE = """\
  s{number}:
    image: registry.example/somecom/s{number}:1.0.0
    networks: [my-network-overlay]
    environment: {{LOG_LEVEL: info, SERVICE: s{number}}}
    x-hosts: {{node-232: {replicas}}}
    deploy: {{update_config: {{parallelism: 0, monitor: 1s}}}}
"""


class Pass(NamedTuple):
    """One kind of pass: milliseconds of processor time, calls to dockerd, and those that inspect.

    The times are the least of several passes: what else runs on the machine only adds to them.
    """

    ms: float
    observed_ms: float
    """Of which to observe the host: all that the engine's client and its answers take."""
    calls: int
    inspects: int


# ---- The dockerd: what it answers, and the process that does


def answers(engine: FakeEngine) -> dict[str, Any]:
    """What GET of each path without its version returns of this engine."""
    info, raws = engine.info(), list(engine.by_hand.raws.values())
    swarm = {
        "LocalNodeState": "active", "ControlAvailable": False, "NodeID": info.swarm.node_id, "NodeAddr": ADDRESS,
        "RemoteManagers": [{"NodeID": node, "Addr": address} for node, address in info.swarm.managers],
    }  # fmt: skip
    networks = [
        {
            "Id": each.id, "Name": each.name, "Driver": each.driver, "Scope": each.scope,
            "Attachable": each.attachable, "Internal": each.internal, "Options": dict(each.options),
            "Labels": dict(each.labels), "IPAM": {"Config": [{"Subnet": str(each.subnet), "Gateway": each.gateway}]},
        }
        for each in engine.networks()
    ]  # fmt: skip
    found: dict[str, Any] = {
        "/version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12"},
        "/info": {
            "ServerVersion": info.version,
            "Name": info.name,
            "Swarm": swarm,
            "DockerRootDir": info.root,
        },
        "/networks": networks,
        "/containers/json": [_listed(raw) for raw in raws],
        "/images/json": [
            {"Id": each["Id"], "RepoTags": [name]} for name, each in engine.image_configs.items()
        ],
    }
    found |= {f"/containers/{raw['Id']}/json": raw for raw in raws}
    found |= {f"/images/{each['Id']}/json": each for each in engine.image_configs.values()}
    for each in networks:
        users = engine.bridge_endpoints(GWBRIDGE) if each["Name"] == GWBRIDGE else ()
        more = {"Containers": {owner: {"Name": name} for owner, name in users}, "Peers": [{"IP": ADDRESS}]}
        found |= {f"/networks/{each['Id']}": {**each, **more}, f"/networks/{each['Name']}": {**each, **more}}
    return found


def _listed(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Id": raw["Id"], "Names": [raw["Name"]], "Image": raw["Config"]["Image"], "ImageID": raw["Image"],
        "Command": "serve", "Created": 1760000000, "Ports": [], "Labels": raw["Config"]["Labels"],
        "State": raw["State"]["Status"], "Status": "Up 5 minutes", "HostConfig": {"NetworkMode": NETWORK},
        "NetworkSettings": raw["NetworkSettings"], "Mounts": [],
    }  # fmt: skip


class Dockerd:
    """A process that answers GET on a socket; `happen` makes it send an event of a container."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        bodies = {key: json.dumps(value).encode() for key, value in content.items()}
        read, self._write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _serve(path, bodies, read)
        os.close(read)
        while not path.exists():
            time.sleep(0.01)

    def happen(self, container: str) -> None:
        actor = {"ID": container, "Attributes": {"name": "one"}}
        event = {"Type": "container", "Action": "update", "Actor": actor, "timeNano": time.time_ns()}
        os.write(self._write, json.dumps(event).encode() + b"\n")

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve(path: Path, bodies: Mapping[str, bytes], events: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            asked = unquote(self.path.partition("?")[0])
            asked = asked.partition("/v1.")[2].partition("/")[2] or asked.lstrip("/")
            if asked == "events":
                self._stream()
                return
            body = bodies.get(f"/{asked}")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"{}")))
            self.end_headers()
            self.wfile.write(body or b"{}")

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            while piece := os.read(events, 1 << 16):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            os._exit(0)  # the bench has ended

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            return super().get_request()[0], ("unix", 0)

    Server(str(path), Handler).serve_forever()


# ---- The agent, and what is measured of it


class Floor:
    """The same answers over one kept connection of http.client, parsed and no more."""

    def __init__(self, path: Path) -> None:
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.connect(str(path))

    def get(self, path: str) -> None:
        self._connection.request("GET", f"/v1.41{path}")
        msgspec.json.decode(self._connection.getresponse().read())


class Bench:
    """An agent on a host with `replicas` containers, at rest."""

    def __init__(self, directory: Path, replicas: int) -> None:
        services = (
            _SERVICE.format(number=number, replicas=max(1, replicas // SERVICES))
            for number in range(min(SERVICES, replicas))
        )
        document = _DOCUMENT + "".join(services)
        self.cluster = SimulatedCluster(directory, document, names=(LEADER, HOST))
        self.cluster.put_intent(document)
        self.cluster.start()
        self.cluster.settle()
        host = self.cluster.hosts[HOST]
        self.ids = list(host.engine.by_hand.raws)
        self.dockerd = Dockerd(directory / "docker.sock", answers(host.engine))
        self.paths: Counter[str] = Counter()
        self.observed_ms = 0.0
        host.engine = DockerEngine(f"unix://{self.dockerd.path}", 30.0, CLUSTER, self._called)  # type: ignore[assignment]
        self.cluster.start(HOST)
        self.agent: SimulatedAgent = self.cluster.agents[HOST]
        self._read, reader = self.agent.observer._host.read, self.agent.observer._host
        reader.read = self._timed_read  # type: ignore[method-assign]
        self.heard = threading.Semaphore(0)
        self._events = host.engine.events()
        threading.Thread(target=self._listen, daemon=True).start()
        self.floor = Floor(self.dockerd.path)
        self.floor_inspect = self._floor_of([f"/containers/{self.ids[0]}/json"] * 200) / 200
        lists = ["/containers/json", "/networks", "/images/json", f"/networks/{GWBRIDGE}"]
        self.floor_lists = self._floor_of(lists)
        for _ in range(60):
            self.cluster.round()
            if self.agent.at_rest:
                gc.freeze()  # what the simulation made is not the agent's
                return
        raise RuntimeError(f"not at rest:\n{self.agent.plan}")

    def _listen(self) -> None:
        with suppress(Unreachable):  # the end
            for _ in self._events:
                self.heard.release()

    def _timed_read(self, *args: Any, **kwargs: Any) -> HostState:
        began = time.process_time()
        seen = self._read(*args, **kwargs)
        self.observed_ms = (time.process_time() - began) * 1000
        return seen

    def _called(self, call: str, _seconds: float, error: str | None) -> None:
        assert error is None, f"{call}: {error}"
        self.paths[call] += 1

    def _floor_of(self, paths: list[str]) -> float:
        times = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for each in paths:
                self.floor.get(each)
            times.append(time.process_time() - began)
        return min(times) * 1000

    def measure(self, reasons: frozenset[str], before: Callable[[], None] = lambda: None) -> Pass:
        """Some passes with these reasons, a second apart: the least times, and the most calls."""
        found = []
        for _ in range(ROUNDS):
            self.cluster.clock.advance(1.0)
            self.agent.session.run_once()
            before()
            self.paths.clear()
            began = time.process_time()
            plan = self.agent.loop.run_pass(reasons)
            used = time.process_time() - began
            assert not plan.steps, plan
            self.cluster.round(LEADER, seconds=0.0)
            found.append(
                Pass(used * 1000, self.observed_ms, self.paths.total(), self.paths["container_inspect"])
            )
        times, observed, calls, inspects = zip(*found, strict=True)
        return Pass(min(times), min(observed), max(calls), max(inspects))

    def inspect(self) -> float:
        """Milliseconds of an inspect without a comparison, of each container in turn."""
        ask = self.agent.host.engine._ask
        began = time.process_time()
        for each in self.ids:
            ask("container_inspect", "GET", f"/containers/{each}/json")
        return (time.process_time() - began) / len(self.ids) * 1000

    def happen(self) -> None:
        self.dockerd.happen(self.ids[0])
        assert self.heard.acquire(timeout=LISTENS_S), "no event came"


def main(replicas: int) -> None:
    """Print what the passes take on this tree, each beside the same calls without a client."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory) / "host", replicas)
        try:
            passes = {
                "one event of a container": bench.measure(frozenset({"container update one"}), bench.happen),
                "an event of etcd": bench.measure(frozenset({"watch: change"})),
                "resync": bench.measure(frozenset({"resync"})),
            }
            inspect = bench.inspect()
        finally:
            bench.dockerd.close()
    print(
        f"{Path(agent.__file__).parents[1]}: {replicas} replicas, milliseconds of processor, least of {ROUNDS}"
    )
    for name, each in passes.items():
        floor = bench.floor_lists + each.inspects * bench.floor_inspect
        print(
            f"{name:26}{each.calls:4} calls, {each.inspects:3} inspect; host observed {each.observed_ms:7.1f}, "
            f"whole pass {each.ms:7.1f}; floor {floor:5.1f}, observed / floor {each.observed_ms / floor:5.1f}"
        )
    floor = bench.floor_inspect
    print(f"{'one inspect, uncompared':26}{inspect:.3f}; floor {floor:.3f}, ratio {inspect / floor:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
