"""Reads `x-cluster`: the hosts, the swarm, docker_gwbridge and the policy."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice
from typing import get_args

from agent.intent import forms
from agent.intent.guard import DIGITS
from agent.intent.networks import driver_options, read_gateway, usable_network
from agent.intent.values import host_name, pairs
from agent.model import intent
from agent.model.intent import GWBRIDGE
from agent.model.network_options import BRIDGE_NAME
from agent.model.spec import Pairs
from agent.yamldoc import Cursor, Fields, Reader
from agent.yamldoc.readers import address, boolean, choice, duration, integer, matching, sequence_of

VERSION = 1
MOST_HOSTS = 1000

ROTATE: Reader[intent.Rotation] = choice(get_args(intent.Rotation))
_ROLE: Reader[intent.Role] = choice(get_args(intent.Role))
_AVAILABILITY: Reader[intent.Availability] = choice(get_args(intent.Availability))

_BRIDGE_ICC = "com.docker.network.bridge.enable_icc"
_LONGEST_MASK = 29
_confirmation = matching(rf"[0-9a-f]{{{DIGITS}}}", f"the confirmation token of {DIGITS} hexadecimal digits")
_percent = matching(r"(?:100|[1-9]?[0-9])%", "a percentage, such as 50%")

HOST = forms.Section(
    {
        "address": forms.ADDRESS,
        "role": forms.choice(get_args(intent.Role)),
        "availability": forms.choice(get_args(intent.Availability)),
        "labels": forms.PAIRS,
    },
    ("address", "role"),
    extensions=False,
)
TOKENS = forms.Section(
    {"rotate": forms.choice(get_args(intent.Rotation)), "ttl": forms.DURATION}, extensions=False
)
SWARM = forms.Section(
    {
        "default_addr_pool": forms.list_of(forms.NETWORK, 1),
        "default_addr_pool_mask_length": forms.integer(8, _LONGEST_MASK),
        "data_path_port": forms.integer(1024, 49151),
        "join_tokens": TOKENS.form,
        "autolock": forms.BOOLEAN,
    },
    refused={
        "advertise": "is not supported here: each host advertises its address",
        "force_new_cluster": "is not supported: Swarmkeeper never forces a new cluster",
    },
    extensions=False,
)
BRIDGE = forms.Section(
    {
        "subnet": forms.NETWORK,
        "gateway": forms.ADDRESS,
        "driver_opts": forms.PAIRS,
        "method": forms.choice(get_args(intent.BridgeMethod)),
    },
    ("subnet",),
    {"name": f"is always {GWBRIDGE}"},
    extensions=False,
)
POLICY = forms.Section(
    {
        "mode": forms.choice(get_args(intent.Mode)),
        "unmanaged": forms.choice(get_args(intent.Unmanaged)),
        "max_unavailable_hosts": forms.integer(1, 1),
        "deletion_guard": {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"},
        "confirm": {"type": ["string", "integer", "number"]},
        "allow_network_recreate": forms.BOOLEAN,
        "resolve_digests": forms.BOOLEAN,
        "reserve_addresses": forms.BOOLEAN,
        "reschedule_after": forms.DURATION,
    },
    extensions=False,
)
CLUSTER = forms.Section(
    {
        "version": {"enum": [VERSION, str(VERSION)]},
        "hosts": {"type": "object", "minProperties": 1, "additionalProperties": HOST.form},
        "swarm": SWARM.form,
        "gwbridge": BRIDGE.form,
        "policy": POLICY.form,
    },
    ("version", "hosts", "gwbridge"),
    extensions=False,
)

_NO_POOL = intent.SwarmIntent(default_addr_pool=())
_DEFAULTS = intent.PolicyIntent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The content of `x-cluster`. `gwbridge` is None after a fault; an empty pool is chosen later."""

    hosts: tuple[intent.HostIntent, ...] = ()
    gwbridge: intent.BridgeIntent | None = None
    swarm: intent.SwarmIntent = _NO_POOL
    policy: intent.PolicyIntent = _DEFAULTS


def read_cluster(cursor: Cursor) -> Cluster | None:
    fields = CLUSTER.read(cursor)
    fields.require("version", _version, f"write version: {VERSION}")
    return Cluster(
        hosts=fields.require("hosts", _hosts, "list the hosts of the cluster") or (),
        gwbridge=fields.require("gwbridge", _bridge, f"write the subnet of {GWBRIDGE}"),
        swarm=fields.read("swarm", _swarm, _NO_POOL),
        policy=fields.read("policy", _policy, _DEFAULTS),
    )


def _version(cursor: Cursor) -> int | None:
    version = integer(0, 10_000)(cursor)
    if version is not None and version != VERSION:
        problem = f"this agent does not know version {version} of x-cluster"
        cursor.fault(problem, f"write version: {VERSION}")
    return version


def _hosts(cursor: Cursor) -> tuple[intent.HostIntent, ...]:
    found = [_host(key, place) for key, place in islice(cursor.entries(), MOST_HOSTS + 1)]
    if cursor.is_mapping and not found:
        cursor.fault("names no host", "name at least one manager")
    if len(found) > MOST_HOSTS:
        cursor.fault(f"names more than {MOST_HOSTS} hosts", "split the cluster", kind="size")
    return tuple(each for each in found if each is not None)


def _host(key: Cursor, cursor: Cursor) -> intent.HostIntent | None:
    name = host_name(key)
    fields = HOST.read(cursor)
    reached = fields.require("address", address, "write the IPv4 address at which other hosts reach the host")
    role: intent.Role | None = fields.require("role", _ROLE, "write manager or worker")
    availability: intent.Availability = fields.read("availability", _AVAILABILITY, "active")
    labels = fields.read("labels", pairs(), ())
    if name is None or reached is None or role is None:
        return None
    return intent.HostIntent(name=name, address=reached, role=role, availability=availability, labels=labels)


def _bridge(cursor: Cursor) -> intent.BridgeIntent | None:
    fields = BRIDGE.read(cursor)
    subnet = fields.require("subnet", usable_network, "write for example 172.21.0.0/20")
    gateway = read_gateway(fields.at("gateway"), subnet)
    options = _bridge_options(fields)
    method: intent.BridgeMethod = fields.read("method", choice(get_args(intent.BridgeMethod)), "parking")
    if subnet is None or gateway is None:
        return None
    return intent.BridgeIntent(subnet=subnet, gateway=gateway, options=options, method=method)


def _bridge_options(fields: Fields) -> Pairs:
    """Return the options, with dockerd's own defaults for this bridge: its name, and no inter-container traffic."""
    declared = dict(fields.read("driver_opts", driver_options, ()))
    if declared.get(BRIDGE_NAME, GWBRIDGE) != GWBRIDGE:
        place = fields.cursor.at("driver_opts", BRIDGE_NAME)
        place.fault(f"the bridge is always called {GWBRIDGE}", "remove this option")
    return tuple(sorted({_BRIDGE_ICC: "false", **declared, BRIDGE_NAME: GWBRIDGE}.items()))


def _swarm(cursor: Cursor) -> intent.SwarmIntent:
    fields = SWARM.read(cursor)
    pools = fields.read("default_addr_pool", sequence_of(usable_network, at_least=1, distinct=True), ())
    mask_length = fields.read("default_addr_pool_mask_length", integer(8, _LONGEST_MASK), 24)
    _check_mask(fields, pools, mask_length)
    inner = TOKENS.within(fields, "join_tokens")
    rotate: intent.Rotation = inner.read("rotate", ROTATE, "after-join")
    if (ttl := inner.at("ttl")) and rotate == "never":
        ttl.conflict("tokens that are never rotated have no ttl", "remove ttl, or write rotate: after-join")
    return intent.SwarmIntent(
        default_addr_pool=pools,
        mask_length=mask_length,
        data_path_port=fields.read("data_path_port", integer(1024, 49151)),
        rotate_tokens=rotate,
        token_ttl_s=inner.read("ttl", duration(60.0), 900.0),
        autolock=fields.read("autolock", boolean),
    )


def _check_mask(fields: Fields, pools: tuple[IPv4Network, ...], mask_length: int) -> None:
    place = fields.at("default_addr_pool_mask_length") or fields.cursor.at("default_addr_pool")
    for pool in pools:
        if pool.prefixlen > mask_length:
            problem = f"networks of /{mask_length} do not fit into the pool {pool}"
            place.conflict(problem, "write a longer mask length")


def _one_at_a_time(cursor: Cursor) -> int | None:
    """Read the number 1. Two hosts could be two managers, or all hosts of a service: only 1 is always safe."""
    value = integer(1, 1000)(cursor)
    if value is not None and value > 1:
        remedy = "Swarmkeeper disrupts one host at a time: write 1, or remove the key"
        cursor.fault(f"{value} hosts at a time are not supported", remedy)
    return value


def _policy(cursor: Cursor) -> intent.PolicyIntent:
    fields = POLICY.read(cursor)
    guard = fields.read("deletion_guard", _percent)
    return intent.PolicyIntent(
        mode=fields.read("mode", choice(get_args(intent.Mode)), "enforce"),
        unmanaged=fields.read("unmanaged", choice(get_args(intent.Unmanaged)), "ignore"),
        max_unavailable_hosts=fields.read("max_unavailable_hosts", _one_at_a_time, 1),
        confirm=fields.read("confirm", _confirmation, ""),
        deletion_guard_percent=None if guard is None else int(guard.removesuffix("%")),
        allow_network_recreate=fields.read("allow_network_recreate", boolean, False),
        resolve_digests=fields.read("resolve_digests", boolean, False),
        reserve_addresses=fields.read("reserve_addresses", boolean, False),
        reschedule_after_s=fields.read("reschedule_after", duration(), _DEFAULTS.reschedule_after_s),
    )
