"""Membership in a swarm, and the calls that only its managers answer."""

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from agent.clients.docker import errors, reading, transport
from agent.diff.container import CLUSTER
from agent.errors import Conflict, Missing, Refused, Stale, Unreachable
from agent.model import host_state, intent, records
from agent.model.phrases import cut
from agent.model.spec import Pairs

_FIREWALL_SINCE = (1, 49)
"""The API version in which GET /info names the firewall backend."""


def _why_no_swarm(info: Mapping[str, Any]) -> str:
    """Return the reason why an engine of this GET /info refuses init and join, with the remedy; empty: it does not."""
    firewall = str((info.get("FirewallBackend") or {}).get("Driver") or "")
    if firewall.startswith("nftables"):
        remedy = 'set "firewall-backend": "iptables" in daemon.json, and run `systemctl restart docker`'
        return f"Docker has no swarm with the firewall backend nftables: {remedy}"
    if info.get("LiveRestoreEnabled"):
        return 'Docker has no swarm with live-restore: set "live-restore": false in daemon.json, and reload docker'
    return ""


_LISTEN = "0.0.0.0:2377"
_MEMBERSHIP_S = 30.0
"""dockerd answers a join within 20 s, completed or not; a client that gives up earlier gets no result."""
_PROBE_S = 2.0
_NOT_A_MEMBER = "not part of a swarm"
_UNLOCKED = "swarm is not locked"


class Swarm(transport.Part):
    _joined_through: str | None = None
    """Address of the manager of the last join; empty after an init. dockerd does not report it."""
    _was_member = False
    """True if the last answer showed the engine in a swarm, or joining one."""

    def info(self) -> reading.EngineInfo:
        found = self._info()
        if self._was_member and found.swarm.local == "inactive":
            # A dockerd that shuts down reports "inactive" on existing connections; it accepts no new ones.
            self._transport.reset()
            found = self._info()
        self._was_member = found.swarm.local != "inactive"
        return found

    def _info(self) -> reading.EngineInfo:
        raw = self._ask("info", "GET", "/info", since=_FIREWALL_SINCE)
        return reading.EngineInfo(
            version=raw.get("ServerVersion") or "",
            name=raw.get("Name") or "",
            live_restore=bool(raw.get("LiveRestoreEnabled")),
            swarm=replace(
                reading.swarm_state(raw.get("Swarm") or {}, self._cluster),
                joined_through=self._joined_through,
            ),
            no_swarm=_why_no_swarm(raw),
            root=raw.get("DockerRootDir") or "",
            machine=reading.machine(raw),
            runtimes=frozenset(raw.get("Runtimes") or ()),
            storage=raw.get("Driver") or "",
            cgroup=f"cgroup {raw.get('CgroupVersion') or '1'}, {raw.get('CgroupDriver') or 'no driver'}",
        )

    def init_swarm(
        self, *, advertise: str, pool: tuple[IPv4Network, ...], mask_length: int, data_path_port: int | None
    ) -> None:
        """Create a swarm. Conflict when the engine is in a swarm already."""
        body: dict[str, Any] = {
            "ListenAddr": _LISTEN,
            "AdvertiseAddr": advertise,
            "DefaultAddrPool": [str(each) for each in pool],
            "SubnetSize": mask_length,
            "Spec": {"Labels": {CLUSTER: self._cluster}},
        }
        if data_path_port is not None:
            body["DataPathPort"] = data_path_port
        self._joined_through = ""
        self._ask("swarm_init", "POST", "/swarm/init", body=body, timeout_s=_MEMBERSHIP_S)

    def join_swarm(self, *, advertise: str, remotes: Iterable[str], token: str) -> None:
        """Join through the first of `remotes` (address:port) that answers; the token decides the role.

        Conflict when the engine is in a swarm already. After Unreachable the join may continue: observe again.
        """
        # Given several addresses, dockerd tries one and waits 20 s: give it one that answers.
        remote = _answering(remotes)
        body = {
            "ListenAddr": _LISTEN,
            "AdvertiseAddr": advertise,
            "RemoteAddrs": [remote],
            "JoinToken": token,
        }
        self._joined_through = remote
        self._ask("swarm_join", "POST", "/swarm/join", body=body, timeout_s=_MEMBERSHIP_S)

    def leave_swarm(self) -> None:
        """Leave the swarm, never by force: Refused on a manager or a locked engine.

        Running containers lose their overlays permanently; stopped containers keep them. Takes up to 20 s while a join
        is in progress.
        """
        with errors.unless(_NOT_A_MEMBER):
            self._leave()

    def _leave(self, **params: str) -> None:
        self._ask("swarm_leave", "POST", "/swarm/leave", params=params, timeout_s=_MEMBERSHIP_S)

    def abandon_node(self, node_id: str) -> None:
        """Leave by force as a manager whose swarm has removed node `node_id`. An engine outside stays so.

        Refused if the engine is another node, or has a raft leader: it is then a member of a swarm that works.
        """
        swarm = self.info().swarm
        if swarm.local == "inactive":
            return
        if swarm.node_id != node_id or not swarm.is_manager:
            raise Refused(f"the engine is not manager {node_id} any more")
        try:
            self._ask("nodes", "GET", "/nodes")
        except (Refused, Unreachable):
            self._leave(force="true")
        else:
            raise Refused(f"manager {node_id} has a raft leader again")

    def dissolve_swarm(self, swarm_id: str) -> None:
        """Leave an empty swarm by force; its only node cannot leave in any other way.

        Refused if the engine is in another swarm, if no agent of this cluster created the swarm, or if the swarm has
        another node, a network of its own, a service, a secret or a config. Takes 5 s.
        """
        swarm = self._ask("swarm", "GET", "/swarm")
        if swarm["ID"] != swarm_id or reading.made_for(swarm) != self._cluster:
            raise Refused(f"swarm {swarm['ID']} is not the one to dissolve")
        if content := self._content():
            raise Refused(f"swarm {swarm_id} is not empty: it has {content}")
        self._leave(force="true")

    def _content(self) -> str:
        """Return the text of a content that an empty swarm does not have; empty if there is none."""
        nodes = len(self._ask("nodes", "GET", "/nodes"))
        if nodes != 1:
            return f"{nodes} nodes"
        networks = [each for each in self._ask("networks", "GET", "/networks") if each["Scope"] == "swarm"]
        if others := sorted(each["Name"] for each in networks if not each.get("Ingress")):
            return f"network {', '.join(others)}"
        kinds = ("services", "secrets", "configs")
        return next((each for each in kinds if self._ask(each, "GET", f"/{each}")), "")

    def swarm_tokens(self) -> records.Tokens:
        """Return the swarm's id and join tokens; managers only."""
        raw = self._ask("swarm", "GET", "/swarm")
        tokens = raw["JoinTokens"]
        return records.Tokens(swarm_id=raw["ID"], worker=tokens["Worker"], manager=tokens["Manager"])

    def rotate_tokens(self) -> None:
        """Replace the join tokens; the previous ones become invalid."""
        raw = self._ask("swarm", "GET", "/swarm")
        self._update_swarm(raw, raw["Spec"], rotateWorkerToken="true", rotateManagerToken="true")

    def set_autolock(self, wanted: bool) -> None:
        """Turn autolock on or off; managers only."""
        raw = self._ask("swarm", "GET", "/swarm")
        if reading.autolocks(raw) != wanted:
            self._update_swarm(raw, raw["Spec"] | {"EncryptionConfig": {"AutoLockManagers": wanted}})

    def _update_swarm(self, found: Mapping[str, Any], spec: Mapping[str, Any], **rotated: str) -> None:
        params = {"version": found["Version"]["Index"], **rotated}
        self._ask("swarm_update", "POST", "/swarm/update", params=params, body=spec)

    def unlock_key(self) -> str:
        """Return the unlock key; empty while autolock is off. Managers only."""
        return str(self._ask("swarm_unlock_key", "GET", "/swarm/unlockkey").get("UnlockKey") or "")

    def unlock_swarm(self, keys: Iterable[str]) -> None:
        """Unlock this engine with the first of `keys` that is accepted; succeeds if the engine is not locked.

        Refused when the engine accepts none. The other managers must answer: this may take as long as a join.
        """
        refusal = Refused("no unlock key is known")
        for key in keys:
            try:
                body = {"UnlockKey": key}
                self._ask("swarm_unlock", "POST", "/swarm/unlock", body=body, timeout_s=_MEMBERSHIP_S)
            except Conflict as error:
                if _UNLOCKED not in str(error):
                    raise
                return
            except Refused as error:
                refusal = error
            else:
                return
        raise refusal

    def nodes(self) -> tuple[host_state.NodeState, ...]:
        """Return the swarm's nodes. Refused on a worker, Unreachable without a quorum."""
        return tuple(reading.node_state(each) for each in self._ask("nodes", "GET", "/nodes"))

    def update_node(
        self,
        node_id: str,
        *,
        version: int,
        role: intent.Role | None = None,
        availability: intent.Availability | None = None,
        labels: Pairs = (),
        without: tuple[str, ...] = (),
        still: Callable[[], object] = lambda: None,
    ) -> None:
        """Change the given fields of a node's spec: set `labels`, remove the labels `without`, keep all others.

        `version` is the node's version in the plan. Stale when the node has another version now and still differs from
        these fields. `still` is called right before the change; its exception cancels the change. Missing when the node
        does not exist, Refused for the demotion of the last manager. The swarm changes a role a moment later.
        """
        # The call replaces the whole spec, so the fields of other programs are read right before.
        path = f"/nodes/{transport.quoted(node_id)}"
        found = self._ask("node", "GET", path)
        spec: dict[str, Any] = found.get("Spec") or {}
        kept = {name: value for name, value in (spec.get("Labels") or {}).items() if name not in without}
        wanted = {
            **spec,
            "Role": role or spec.get("Role"),
            "Availability": availability or spec.get("Availability"),
            "Labels": {**kept, **dict(labels)},
        }
        if wanted == {**spec, "Labels": spec.get("Labels") or {}}:
            return
        if (now := found["Version"]["Index"]) != version:
            raise Stale(f"the node has changed since the plan (version {version} then, {now} now)")
        still()
        try:
            self._ask("node_update", "POST", f"{path}/update", params={"version": version}, body=wanted)
        except Conflict as error:
            raise Stale(f"the node was changed at the same time: {error}") from error

    def remove_node(self, node_id: str) -> None:
        """Remove a node from the swarm's list. Refused while the node is a manager, or not down."""
        with contextlib.suppress(Missing):
            self._ask("node_remove", "DELETE", f"/nodes/{transport.quoted(node_id)}")

    def has_node(self, node_id: str) -> bool:
        """Return True if the swarm has a node of that id; managers only.

        Unreachable without a quorum: the call first makes a write that needs one. A manager without a quorum lists the
        nodes that it knew before, and could wrongly report a node as missing.
        """
        raw = self._ask("swarm", "GET", "/swarm")
        # A conflicting change proves the majority, too.
        with contextlib.suppress(Conflict):
            self._update_swarm(raw, raw["Spec"])
        return self._found("node", f"/nodes/{transport.quoted(node_id)}") is not None


def _answering(remotes: Iterable[str]) -> str:
    """Return the first address whose TCP port answers. Raises Unreachable when none does."""
    tried = []
    for each in remotes:
        host, _, port = each.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=_PROBE_S):
                return each
        except (OSError, ValueError) as error:
            tried.append(f"{each}: {error}")
    raise Unreachable(f"no manager answers: {cut('; '.join(tried)) or 'none is known'}")


# ---- The node certificate, which alone names the swarm on a worker
#
# Only root can read the file; an agent with less rights works without it (docs/operate/membership.md).

_CERTIFICATE = "swarm/certificates/swarm-node.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCertificate:
    """The subject of the certificate: O is the swarm, CN the node."""

    swarm_id: str
    node_id: str


def node_certificate(root: str) -> NodeCertificate | None:
    """Return the subject of the certificate below the engine's data directory `root`; None if it is unreadable."""
    try:
        raw = Path(root, _CERTIFICATE).read_bytes()
    except OSError:
        return None
    # Imported here because it takes 11 MB, and only an agent that runs as root can read the file.
    from cryptography import x509  # noqa: PLC0415

    try:
        # The node's certificate is the first one; those of its authority follow.
        names = {each.oid: str(each.value) for each in x509.load_pem_x509_certificate(raw).subject}
    except ValueError:
        return None
    swarm_id, node_id = map(names.get, (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME))
    return NodeCertificate(swarm_id=swarm_id, node_id=node_id) if swarm_id and node_id else None
