"""Reports of differences that Docker cannot repair: it changes neither a volume nor the labels of a network.

A volume has data, and a network has running containers, so no agent removes one to create it again for these
differences. Replicas run on with what exists.
"""

from collections.abc import Iterator
from functools import partial

from agent.diff.container.process import PREFIX
from agent.diff.networks import found_for
from agent.model.host_state import Difference, NetworkState, VolumeState, describe
from agent.model.intent import Intent, NetworkIntent, VolumeIntent
from agent.model.observed import ClusterState, HostView
from agent.model.plan import BlockedKind, Plan, blocked_plan
from agent.model.spec import ContainerSpec, Pairs
from agent.planner.host.prerequisites import plan_local_network

_OF_VOLUME = (
    "docker cannot change a volume, and its data stays; "
    "declare one under another `name` and copy the data, or put the former values back"
)
_OF_OTHERS = "remove it, or declare another name or `external: true`"
_OF_NETWORK = (
    "docker cannot change labels of a network; declare it under another `name`, or put the former labels back"
)


def plan_immutable(intent: Intent, observed: HostView) -> Plan:
    """Block each volume and network of this host's replicas that differs for good; on the leader each overlay too."""
    host, cluster, plan = observed.host, observed.cluster, Plan()
    mounts = (mount for spec in _specs(cluster) for mount in spec.volumes if mount.type == "volume")
    for name in sorted({mount.source for mount in mounts if mount.source}):
        declared, found = intent.volume(name), host.volume(name)
        if declared and found and found.of_cluster and not declared.external:
            reason = f"is of cluster {found.of_cluster}: nothing of it is used or changed; {_OF_OTHERS}"
            plan += blocked_plan(f"volume/{name}", "foreign", reason)
        elif declared and found and (differing := volume_differences(declared, found)):
            kind: BlockedKind = "foreign" if declared.driver != found.driver else "unsupported"
            plan += blocked_plan(f"volume/{name}", kind, f"{describe(differing)}: {_OF_VOLUME}")
    for name in sorted(_networks(intent, observed)):
        network = intent.network(name)
        if network and network.driver != "overlay":
            # Also for replicas that run on it: they run on.
            plan += plan_local_network(network, host)._replace(steps=())
        seen = found_for(network, host, cluster.record) if network else None
        if network and seen and (wrong := describe(network_label_differences(network, seen))):
            plan += blocked_plan(f"network/{name}", "unsupported", f"{wrong}: {_OF_NETWORK}")
    return plan


def _networks(intent: Intent, observed: HostView) -> set[str]:
    """Return the local networks that replicas here use and, on a leader that lists them, the overlays."""
    overlays = {each.name for each in intent.networks if each.driver == "overlay"}
    used = {each.network for spec in _specs(observed.cluster) for each in spec.networks}
    return (used - overlays) | (
        overlays if observed.fence and observed.host.swarm.nodes is not None else set()
    )


def _specs(cluster: ClusterState) -> Iterator[ContainerSpec]:
    for replica in cluster.assignment.replicas if cluster.assignment else ():
        if spec := cluster.specs.get(replica.spec):
            yield spec


# ---- The differences


_OTHERS = "com.docker."
"""Prefix of the labels that Docker and Compose set by themselves."""
_HIDDEN, _NONE = "another value", "nothing"
_differs = partial(Difference.of, repair="none")


def volume_differences(wanted: VolumeIntent, found: VolumeState) -> tuple[Difference, ...]:
    """Return the differences of a volume from its declaration; values of `driver_opts` are never shown.

    An external volume is used as it is. A label that the document does not name stays without a report.
    """
    if wanted.external:
        return ()
    driver = [_differs("driver", wanted.driver, found.driver)] if found.driver != wanted.driver else []
    return (*driver, *_options(wanted.options, found.options), *_labels(wanted.labels, found.labels))


def network_label_differences(wanted: NetworkIntent, found: NetworkState) -> tuple[Difference, ...]:
    """Return the labels of a network that differ; on one that an agent created, also those that are not declared."""
    if wanted.external:
        return ()
    declared = dict(wanted.labels)
    left = [
        _differs(f"labels.{name}", _NONE, value)
        for name, value in found.labels
        if found.ours and name not in declared and not name.startswith((PREFIX, _OTHERS))
    ]
    return (*_labels(wanted.labels, found.labels), *left)


def _options(wanted: Pairs, found: Pairs) -> Iterator[Difference]:
    declared, has = dict(wanted), dict(found)
    for name in sorted({*declared, *has}):
        if declared.get(name) != has.get(name):
            shown = "the declared value" if name in declared else _NONE
            yield _differs(f"driver_opts.{name}", shown, _HIDDEN if name in has else _NONE)


def _labels(wanted: Pairs, found: Pairs) -> Iterator[Difference]:
    has = dict(found)
    for name, value in wanted:
        if has.get(name) != value:
            yield _differs(f"labels.{name}", f"'{value}'", f"'{has[name]}'" if name in has else _NONE)
