"""End the attachment of a container to an overlay in the swarm alone, as a swarm does that has given up its node.

The node of the container does the call itself, as dockerd does when a container leaves the overlay: with the node's
certificate, to a manager. Afterwards the swarm counts no user, and the container is still on the overlay.
"""

import sys

from tests.support.docker_daemon import DockerDaemon

DETACH = """
import sys
import grpc

folder, manager, task = sys.argv[1:]
read = lambda name: open(f"{folder}/swarm-{name}", "rb").read()
# swarmkit adds headers to the key, which TLS libraries do not take.
key = b"".join(line for line in read("node.key").splitlines(keepends=True) if b": " not in line and line.strip())
credentials = grpc.ssl_channel_credentials(read("root-ca.crt"), key, read("node.crt"))
options = [("grpc.ssl_target_name_override", "swarm-manager")]
with grpc.secure_channel(manager, credentials, options=options) as channel:
    detach = channel.unary_unary("/docker.swarmkit.v1.ResourceAllocator/DetachNetwork")
    detach(b"\\x0a" + bytes([len(task)]) + task.encode(), timeout=10)
"""
"""A program for python with grpcio. Its arguments: the folder of the node's certificates, address:port of a
manager, the id of a task of the runtime `attachment`."""


def end_attachment(node: DockerDaemon, manager: str, task: str) -> None:
    """Ask `manager` (address:port), as the node of the task, to end it."""
    command = [sys.executable, "-c", DETACH, str(node.directory / "data/swarm/certificates"), manager, task]
    node.inside(*command)
