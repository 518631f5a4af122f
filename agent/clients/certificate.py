"""The certificate of this host's swarm node: the one place on a worker that says which swarm it is in.

It is root's; an agent without that right goes on without it (docs/operator-guide.md).
"""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyasn1.codec.der import decoder
from pyasn1.error import PyAsn1Error

_PLACE = "swarm/certificates/swarm-node.crt"
_FIRST = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
"""Behind the node's own come those of its authority."""
_SUBJECT = 5
"""Of a certificate's body: version, serial number, algorithm, issuer, validity, subject (RFC 5280, section 4.1)."""
_ORGANIZATION, _COMMON_NAME = "2.5.4.10", "2.5.4.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCertificate:
    """Who the node is, by its certificate: O is the swarm, CN the node."""

    swarm_id: str
    node_id: str


def node_certificate(root: str) -> NodeCertificate | None:
    """What the certificate below the engine's data directory `root` says; None when it cannot be read."""
    try:
        found = _FIRST.search(Path(root, _PLACE).read_text("ascii"))
        return _read(ssl.PEM_cert_to_DER_cert(found[0])) if found else None
    except (OSError, ValueError, IndexError, TypeError, PyAsn1Error):
        return None


def _read(raw: bytes) -> NodeCertificate | None:
    certificate: Any = decoder.decode(raw)[0]
    names = {str(each[0]): str(each[1]) for rdn in certificate[0][_SUBJECT] for each in rdn}
    swarm_id, node_id = names.get(_ORGANIZATION), names.get(_COMMON_NAME)
    return NodeCertificate(swarm_id=swarm_id, node_id=node_id) if swarm_id and node_id else None
