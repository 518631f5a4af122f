"""What real dockerds report and allow on a manager that its swarm gave up while it was off."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.clients.docker import DockerEngine
from agent.errors import Refused, SwarmkeeperError, Unreachable
from tests.contract.engines import CLUSTER
from tests.contract.pairs import ask
from tests.support.docker_daemon import DockerDaemon, running
from tests.support.etcd_server import eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts dockerds")

ADDRESSES = ("10.99.0.1", "10.99.0.2", "10.99.0.3")
SOON_S = 60.0


class Three(NamedTuple):
    """Three managers. The last one is the subject."""

    engines: list[DockerEngine]
    daemons: list[DockerDaemon]

    @property
    def subject(self) -> DockerEngine:
        return self.engines[2]

    def join(self) -> str:
        """Make the subject a manager; return its node id."""
        token = self.engines[0].swarm_tokens().manager
        self.subject.join_swarm(advertise=ADDRESSES[2], remotes=[f"{ADDRESSES[0]}:2377"], token=token)
        eventually(lambda: self.subject.info().swarm.is_manager, SOON_S, "it is a manager")
        node_id = self.subject.info().swarm.node_id
        assert node_id
        return node_id

    def start(self) -> None:
        self.daemons[2].start()
        self.daemons[0].link_to(self.daemons[2])

    def is_unreachable(self, node_id: str) -> bool:
        return any(each.id == node_id and each.reachable is False for each in self.engines[0].nodes())

    def remove(self, node_id: str) -> None:
        """What the leader does with the record of a host that was taken out and is off."""
        eventually(lambda: self.is_unreachable(node_id), SOON_S, "nobody reaches it")
        ask(self.engines[0], node_id, role="worker")

        def is_removed() -> bool:
            with contextlib.suppress(SwarmkeeperError):
                self.engines[0].remove_node(node_id)
            return not self.engines[0].has_node(node_id)

        eventually(is_removed, SOON_S, "its record is removed")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with contextlib.ExitStack() as stack:
        daemons = [DockerDaemon(tmp_path_factory.mktemp("gone"), address=each) for each in ADDRESSES]
        for each in daemons:
            stack.enter_context(running(each))
        for each in daemons[1:]:
            daemons[0].link_to(each)
        engines = [
            stack.enter_context(contextlib.closing(DockerEngine(each.url, 10.0, CLUSTER))) for each in daemons
        ]
        pool = (IPv4Network("10.200.0.0/16"),)
        engines[0].init_swarm(advertise=ADDRESSES[0], pool=pool, mask_length=24, data_path_port=None)
        token = engines[0].swarm_tokens().manager
        engines[1].join_swarm(advertise=ADDRESSES[1], remotes=[f"{ADDRESSES[0]}:2377"], token=token)
        yield Three(engines, daemons)


def test_a_manager_that_was_removed_while_it_was_off_leaves_by_force_only_and_costs_no_quorum(
    three: Three,
) -> None:
    node_id = three.join()
    with pytest.raises(Refused, match="has a raft leader"):
        three.subject.abandon_node(node_id)
    three.daemons[2].kill()
    three.remove(node_id)
    three.start()

    eventually(lambda: three.subject.info().swarm.error, SOON_S, "it has looked for the others")
    said = three.subject.info().swarm
    assert (said.local, said.is_manager, said.node_id) == ("pending", True, node_id)
    listed = {each.id for each in three.engines[0].nodes()}
    assert {node for node, _ in said.managers} == {*listed, node_id}
    with pytest.raises((Refused, Unreachable), match="does not have a leader"):
        three.subject.nodes()
    with pytest.raises(Refused, match="participating as a manager"):
        three.subject.leave_swarm()
    with pytest.raises(Refused, match="is not manager"):
        three.subject.abandon_node("0" * 25)

    three.subject.abandon_node(node_id)
    three.subject.abandon_node(node_id)

    assert three.subject.info().swarm.local == "inactive"
    assert {each.id for each in three.engines[0].nodes()} == listed
    assert all(each.reachable for each in three.engines[0].nodes())
    assert three.join() != node_id
    three.subject.info()


def test_an_engine_whose_certificate_has_expired_ends_in_error_without_a_node_and_leaves_without_force(
    three: Three,
) -> None:
    if three.subject.info().swarm.local == "inactive":
        three.join()
    node_id = three.subject.info().swarm.node_id
    assert node_id
    three.daemons[2].kill()
    expire(three.daemons[2].directory / "data/swarm/certificates/swarm-node.crt")
    three.start()

    said = three.subject.info().swarm
    assert (said.local, said.is_manager, said.node_id, said.managers) == ("error", False, None, ())
    assert "expired" in said.error
    eventually(lambda: three.is_unreachable(node_id), SOON_S, "nobody reaches it")
    three.subject.leave_swarm()
    assert three.subject.info().swarm.local == "inactive"
    three.remove(node_id)
    assert three.join()


def expire(path: Path) -> None:
    """Put a certificate there that names the same node and key, and is from the past; its issuer is as good as any.

    dockerd looks at the dates before it looks for the issuer among those that it trusts, and stops there.
    """
    old = x509.load_pem_x509_certificate(path.read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=100),
        not_valid_after=now - datetime.timedelta(days=10),
    )
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
