"""The certificate of a swarm node, as openssl makes one of the same form, and what cannot be read."""

import subprocess
from pathlib import Path

import pytest

from agent.clients.docker.swarm import NodeCertificate, node_certificate

SUBJECT = "/O=swarmid1/OU=swarm-worker/CN=nodeid1"


def put(root: Path, *subjects: str) -> Path:
    """Certificates of these subjects, one behind the other, where dockerd keeps them; returns the file."""
    place = root / "swarm/certificates/swarm-node.crt"
    place.parent.mkdir(parents=True)
    made = []
    for subject in subjects:
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        command += ["-subj", subject, "-keyout", str(root / "key"), "-days", "2"]
        made.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    place.write_text("".join(made))
    return place


def test_a_certificate_says_the_swarm_and_the_node(tmp_path: Path) -> None:
    put(tmp_path, SUBJECT)
    assert node_certificate(str(tmp_path)) == NodeCertificate(swarm_id="swarmid1", node_id="nodeid1")


def test_of_several_the_first_is_the_nodes_own(tmp_path: Path) -> None:
    put(tmp_path, SUBJECT, "/O=other/CN=authority")
    assert node_certificate(str(tmp_path)) == NodeCertificate(swarm_id="swarmid1", node_id="nodeid1")


def test_where_there_is_none_or_none_of_a_node_nothing_is_said(tmp_path: Path) -> None:
    assert node_certificate(str(tmp_path / "nowhere")) is None
    put(tmp_path, "/CN=somebody")
    assert node_certificate(str(tmp_path)) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_damaged_one_says_nothing(tmp_path: Path, damage: bytes) -> None:
    put(tmp_path, SUBJECT).write_bytes(damage)
    assert node_certificate(str(tmp_path)) is None
