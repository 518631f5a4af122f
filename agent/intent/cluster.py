"""Reads `x-cluster`: the hosts, the swarm, docker_gwbridge and the policy."""

from functools import partial
from ipaddress import IPv4Network
from itertools import islice
from typing import Any, get_args

from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.guard import DIGITS
from agent.intent.networks import driver_options, usable_network, with_gateway
from agent.intent.values import host_name, moment, pairs
from agent.model import Frozen, intent
from agent.model.intent import GWBRIDGE
from agent.model.network_options import BRIDGE_NAME
from agent.model.spec import Pairs
from agent.yamldoc import Cursor, Fields, readers
from agent.yamldoc.readers import after, boolean, derived, duration, matching

VERSION = 1
MOST_HOSTS = 1000

_BRIDGE_ICC = "com.docker.network.bridge.enable_icc"
_LONGEST_MASK = 29
_confirmation = matching(
    rf"[0-9a-f]{{{DIGITS}}}", f"a token of {DIGITS} hexadecimal digits", "what `swarmkeeper plan` shows"
)
_percent = matching(r"(?:100|[1-9]?[0-9])%", "a percentage", "50%")

_NO_POOL = intent.SwarmIntent(default_addr_pool=())
_DEFAULTS = intent.PolicyIntent()


class Cluster(Frozen):
    """The content of `x-cluster`. An empty pool is chosen later."""

    hosts: tuple[intent.HostIntent, ...]
    gwbridge: intent.BridgeIntent
    swarm: intent.SwarmIntent = _NO_POOL
    policy: intent.PolicyIntent = _DEFAULTS


@after(readers.integer(0, 10_000))
def _version(cursor: Cursor, version: int) -> dict[str, Any] | None:
    """Read the version, which is no field of the cluster."""
    if version == VERSION:
        return {}
    problem = f"this agent does not know version {version} of x-cluster"
    return cursor.fault(problem, f"write version: {VERSION}")


def _hosts(cursor: Cursor) -> tuple[intent.HostIntent, ...]:
    found = [_host(key, place) for key, place in islice(cursor.entries(), MOST_HOSTS + 1)]
    if cursor.is_mapping and not found:
        cursor.fault("names no host", "name at least one manager")
    if len(found) > MOST_HOSTS:
        cursor.fault(f"names more than {MOST_HOSTS} hosts", "split the cluster", kind="size")
    return tuple(each for each in found if each is not None)


HOST = Section(
    {
        "address": Field(readers.address, forms.ADDRESS),
        "role": Field.choice(get_args(intent.Role)),
        "availability": Field.choice(get_args(intent.Availability)),
        "labels": Field(pairs(), forms.PAIRS),
    },
    {
        "address": "write the IPv4 address at which other hosts reach the host",
        "role": "write manager or worker",
    },
    extensions=False,
)


def _host(key: Cursor, cursor: Cursor) -> intent.HostIntent | None:
    name = host_name(key)
    found = HOST.into(partial(intent.HostIntent, name=name or ""))(cursor)
    return found if name else None


BRIDGE = Section(
    {
        "subnet": Field(usable_network, forms.NETWORK),
        "gateway": Field(readers.address, forms.ADDRESS),
        "driver_opts": Field(driver_options, forms.PAIRS, "options"),
        "method": Field.choice(get_args(intent.BridgeMethod)),
    },
    {"subnet": "write for example 172.21.0.0/20"},
    {"name": f"is always {GWBRIDGE}; remove it"},
    extensions=False,
)


def _bridge(cursor: Cursor) -> intent.BridgeIntent | None:
    found = with_gateway(*BRIDGE.read(cursor))
    found["options"] = _bridge_options(cursor, dict(found.get("options", ())))
    return intent.BridgeIntent(**found) if "subnet" in found else None


def _bridge_options(cursor: Cursor, declared: dict[str, str]) -> Pairs:
    """Return the options, with dockerd's own defaults for this bridge: its name, and no inter-container traffic."""
    if declared.get(BRIDGE_NAME, GWBRIDGE) != GWBRIDGE:
        place = cursor.at("driver_opts", BRIDGE_NAME)
        place.fault(f"the bridge is always called {GWBRIDGE}", "remove this option")
    return tuple(sorted({_BRIDGE_ICC: "false", **declared, BRIDGE_NAME: GWBRIDGE}.items()))


TOKENS = Section(
    {
        "rotate": Field.choice(get_args(intent.Rotation), "rotate_tokens"),
        "ttl": Field(duration(60.0), forms.DURATION, "token_ttl_s"),
    },
    extensions=False,
)


def _tokens(cursor: Cursor) -> dict[str, Any]:
    fields, found = TOKENS.read(cursor)
    if (ttl := fields.at("ttl")) and found.get("rotate_tokens") == "never":
        ttl.conflict("tokens that are never rotated have no ttl", "remove ttl, or write rotate: after-join")
    return found


SWARM = Section(
    {
        "default_addr_pool": Field(
            readers.sequence_of(usable_network, not_empty=True, distinct=True),
            forms.list_of(forms.NETWORK, 1),
        ),
        "default_addr_pool_mask_length": Field.integer(8, _LONGEST_MASK, "mask_length"),
        "data_path_port": Field.integer(1024, 49151),
        "join_tokens": Field(_tokens, TOKENS.form, None),
        "autolock": Field(boolean, forms.BOOLEAN),
    },
    refused={
        "advertise": "is not supported: each host advertises its address; remove it",
        "force_new_cluster": "is not supported: Swarmkeeper never forces a new cluster; remove it",
    },
    extensions=False,
)


def _swarm(cursor: Cursor) -> intent.SwarmIntent:
    fields, found = SWARM.read(cursor)
    swarm = intent.SwarmIntent(**{"default_addr_pool": (), **found})
    _check_mask(fields, swarm.default_addr_pool, swarm.mask_length)
    return swarm


def _check_mask(fields: Fields, pools: tuple[IPv4Network, ...], mask_length: int) -> None:
    place = fields.at("default_addr_pool_mask_length") or fields.cursor.at("default_addr_pool")
    for pool in pools:
        if pool.prefixlen > mask_length:
            problem = f"networks of /{mask_length} do not fit into the pool {pool}"
            place.conflict(problem, "write a longer mask length")


@after(readers.integer(1, 1000))
def _one_at_a_time(cursor: Cursor, value: int) -> int | None:
    """Read the number 1. Two hosts could be two managers, or all hosts of a service: only 1 is always safe."""
    if value > 1:
        remedy = "Swarmkeeper disrupts one host at a time: write 1, or remove the key"
        cursor.fault(f"{value} hosts at a time are not supported", remedy)
    return value


HANDOVER = Section(
    {"at": Field(moment, forms.TEXT), "to": Field(host_name, forms.TEXT)},
    {"at": "write the time of the order, as 2026-11-30T16:00:00Z", "to": "write the host that is to lead"},
    extensions=False,
)
_DEPLOY_LABELS = ("ignore", "containers")
POLICY = Section(
    {
        "mode": Field.choice(get_args(intent.Mode)),
        "unmanaged": Field.choice(get_args(intent.Unmanaged)),
        "max_unavailable_hosts": Field(_one_at_a_time, forms.integer(1, 1)),
        "deletion_guard": Field(
            derived(_percent, lambda guard: int(guard.removesuffix("%"))),
            {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"},
            "deletion_guard_percent",
        ),
        "confirm": Field(_confirmation, {"type": ["string", "integer", "number"]}),
        "allow_network_recreate": Field(boolean, forms.BOOLEAN),
        "resolve_digests": Field(boolean, forms.BOOLEAN),
        "reserve_addresses": Field(boolean, forms.BOOLEAN),
        "reschedule_after": Field(duration(), forms.DURATION, "reschedule_after_s"),
        "handover": Field(HANDOVER.into(intent.Handover), HANDOVER.form),
        # agent.intent.vocabulary heeds it; no record has it.
        "deploy_labels": Field(
            derived(readers.choice(_DEPLOY_LABELS), lambda _: {}), forms.choice(_DEPLOY_LABELS), None
        ),
    },
    extensions=False,
)
CLUSTER = Section(
    {
        "version": Field(_version, {"enum": [VERSION, str(VERSION)]}, None),
        "hosts": Field(_hosts, {"type": "object", "minProperties": 1, "additionalProperties": HOST.form}),
        "swarm": Field(_swarm, SWARM.form),
        "gwbridge": Field(_bridge, BRIDGE.form),
        "policy": Field(POLICY.into(intent.PolicyIntent), POLICY.form),
    },
    {
        "version": f"write version: {VERSION}",
        "hosts": "list the hosts of the cluster",
        "gwbridge": f"write the subnet of {GWBRIDGE}",
    },
    extensions=False,
)

read_cluster = CLUSTER.into(Cluster)
