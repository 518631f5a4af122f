"""The alerts of what all hosts share: etcd, leader, swarm, and that anything reports at all."""

from agent.model.store import DEFAULT_QUOTA, NEARLY_FULL
from deploy.mixin import queries
from deploy.mixin.alert import Alert
from deploy.mixin.queries import JOB, PREFIX, cluster

_DATABASE = f'max by (cluster) ({PREFIX}store_database_bytes{{kind="size"}})'
_DOWN_NODES = f'max by (cluster) ({PREFIX}swarm_nodes{{state="down"}})'

CLUSTER = (
    Alert(
        name="Unobserved",
        expr=(
            f'absent(up{{job="{JOB}"}}) or max by (cluster) (up{{job="{JOB}"}}) == 0 '
            f"or (max by (cluster) ({PREFIX}leader) == 1 unless on (cluster) {PREFIX}cluster_converged)"
        ),
        wait="5m",
        severity="critical",
        summary="Nothing reports the state of cluster {{ $labels.cluster }}",
        description=(
            "Prometheus reaches no agent, has no target of job swarmkeeper, or the leader exposes no "
            "swarmkeeper_cluster_* metrics. No other alert of the cluster can be trusted. Check the power and "
            "network of the hosts, then the targets page of Prometheus, then journalctl -u swarmkeeper on the "
            "leader."
        ),
    ),
    Alert(
        name="StoreUnreachable",
        expr=queries.STORE_AWAY,
        wait="2m",
        severity="critical",
        summary="No agent of cluster {{ $labels.cluster }} reaches etcd",
        description=(
            "Containers keep running, and each agent repairs its host towards the state saved on its disk. No "
            "document is accepted, no replica moves, and the state of the cluster is unknown. Check the members "
            "with etcdctl endpoint health --cluster; more than half of them must run."
        ),
    ),
    Alert(
        name="StoreDown",
        expr=f"{PREFIX}store_up == 0 unless on (cluster) {queries.STORE_AWAY}",
        wait="2m",
        severity="info",
        summary="{{ $labels.host }} cannot reach etcd, other hosts can",
        description=(
            "Containers keep running, and the agent keeps the last document that it read. On the host: etcdctl "
            "endpoint health --cluster shows whether its etcd member or the network is at fault."
        ),
    ),
    Alert(
        name="StoreFull",
        expr=queries.STORE_FULL,
        wait="1m",
        severity="critical",
        summary="etcd of cluster {{ $labels.cluster }} is out of space and refuses every write",
        description=(
            "Containers keep running. No host can report, so the state of the cluster is unknown; no document is "
            "accepted and no replica moves. Compact and defragment etcd, or raise its quota, then etcdctl alarm "
            "disarm."
        ),
    ),
    Alert(
        name="StoreLarge",
        expr=(
            f"{_DATABASE} > on (cluster) {NEARLY_FULL} * "
            f'(max by (cluster) ({PREFIX}store_database_bytes{{kind="quota"}}) '
            f"or {_DATABASE} * 0 + {DEFAULT_QUOTA}) unless on (cluster) {queries.STORE_FULL}"
        ),
        wait="15m",
        severity="warning",
        summary="etcd of cluster {{ $labels.cluster }} has {{ $value | humanize1024 }}B, near its quota",
        description=(
            "At its quota etcd refuses every write. Its quota is 2 GiB unless --quota-backend-bytes sets another; only "
            "etcd 3.6 and newer tell the agents. Compact and defragment etcd, and set --auto-compaction-retention."
        ),
    ),
    Alert(
        name="StoreKeepsHistory",
        expr=f"{cluster('store_keeps_history')} == 1",
        wait="1h",
        severity="warning",
        summary="etcd of cluster {{ $labels.cluster }} keeps old revisions until it is full",
        description=(
            "etcd still has the value that a key had 20,000 changes ago. Its database grows until it refuses every "
            "write. Set --auto-compaction-retention=1h on each member."
        ),
    ),
    Alert(
        name="NoLeader",
        expr=f"sum by (cluster) ({PREFIX}leader) == 0 unless on (cluster) {queries.STORE_AWAY}",
        wait="2m",
        severity="warning",
        summary="No agent of cluster {{ $labels.cluster }} that Prometheus reaches is the leader",
        description=(
            "Hosts keep repairing their own replicas. Without a leader no new document is accepted, no host can "
            "join, and no replica moves; the state of the cluster as a whole is not known. Only an agent on a "
            "manager can be the leader: check that one is up and reaches etcd. Its log shows why it is "
            "ineligible."
        ),
    ),
    Alert(
        name="TwoLeaders",
        expr=f"sum by (cluster) ({PREFIX}leader) > 1",
        wait="1m",
        severity="warning",
        summary="{{ $value }} agents of cluster {{ $labels.cluster }} consider themselves the leader",
        description=(
            "etcd refuses the writes of all but one (each compares the fence), so nothing is damaged. This state "
            "must not last longer than a lease. Compare the leader key with the clocks and logs of these hosts."
        ),
    ),
    Alert(
        name="LeaderLockStuck",
        expr=f'max by (cluster) ({PREFIX}blocked{{reason="lock"}}) == 1',
        severity="critical",
        summary="The leader lock of cluster {{ $labels.cluster }} is held by something that does not lead",
        description=(
            "The lock has a lease that no agent asked for, or none, or its holder has not judged the newest document "
            "within a minute. Running containers are not affected; no other agent can lead. If no agent wrote the "
            "lock, the rights of an agent in etcd are misused. swarmkeeper status shows the state and the "
            "command that frees the lock."
        ),
    ),
    Alert(
        name="LeaderUnstable",
        expr=f"sum by (cluster) (increase({PREFIX}leader_changes_total[30m])) > 6",
        severity="warning",
        summary="The leader of cluster {{ $labels.cluster }} changes too often",
        description=(
            '{{ printf "%.0f" $value }} changes within 30 minutes, because leases expire. If '
            "swarmkeeper_store_request_duration_seconds shows that etcd is slow, check its disks and network. "
            "Otherwise look for an overloaded host."
        ),
    ),
    Alert(
        name="SwarmInactive",
        expr=(
            f'{PREFIX}swarm_state{{state="active"}} == 0 unless ignoring (state) ({PREFIX}docker_up == 0) '
            f"unless on (cluster, host) {queries.READY_HOSTS}"
        ),
        wait="10m",
        severity="warning",
        summary="{{ $labels.host }} is not in the swarm",
        description=(
            'Overlay networks do not reach that host. swarmkeeper_swarm_state has the state. "locked" waits for '
            'docker swarm unlock; "inactive" and "pending" wait for a reachable manager; docker info explains '
            '"error".'
        ),
    ),
    Alert(
        name="NodeDown",
        expr=(f"{_DOWN_NODES} - on (cluster) ({queries.ABSENT_HOSTS} or on (cluster) {_DOWN_NODES} * 0) > 0"),
        wait="10m",
        severity="warning",
        summary=(
            "{{ $value }} node(s) of cluster {{ $labels.cluster }} are down, although their agents report"
        ),
        description=(
            "The managers have not reached them for 10 minutes, or the document no longer declares them. docker "
            "node ls on a manager lists them. Check that dockerd runs, that the address of the host is the "
            "declared one, and that 2377/tcp, 7946/tcp+udp and 4789/udp pass between the hosts."
        ),
    ),
    Alert(
        name="QuorumAtRisk",
        expr=(
            f"({cluster('quorum', state='reachable')} <= on (cluster) {cluster('quorum', state='needed')} "
            f"and on (cluster) {cluster('quorum', state='declared')} >= 3) unless on (cluster) ({queries.NO_QUORUM})"
        ),
        wait="5m",
        severity="warning",
        summary="If one more manager fails, the swarm of cluster {{ $labels.cluster }} loses its quorum",
        description=(
            "Only {{ $value }} managers are reachable, which is just the majority. docker node ls lists the "
            "unreachable one. Bring it back before any other maintenance."
        ),
    ),
    Alert(
        name="QuorumLost",
        expr=queries.QUORUM_LOST,
        wait="1m",
        severity="critical",
        summary=(
            "The swarm of cluster {{ $labels.cluster }} has no quorum: less than a majority of its managers is "
            "reachable"
        ),
        description=(
            "Running containers and their overlay connections are not affected. No host can join, and no overlay "
            "can be created or attached on another host. swarmkeeper status names the missing managers: bring "
            "them back. Do not use force-new-cluster while their disks exist."
        ),
    ),
    # A rollout over many hosts takes long: it is stuck only if no waiting host has got the disruption slot for long.
    Alert(
        name="BridgeRolloutStuck",
        expr=(
            f"count by (cluster) ({cluster('host_state', 'name', reason='WaitsForSlot')} == 1) unless on (cluster) "
            f'sum by (cluster) (increase({PREFIX}actions_total{{action="swap", result="ok"}}[5m])) > 0'
        ),
        wait="15m",
        severity="warning",
        summary=(
            "The rollout of docker_gwbridge in cluster {{ $labels.cluster }} has changed no host for 15 minutes; "
            "{{ $value }} host(s) wait"
        ),
        description=(
            "One host at a time is changed, and the next one only when the last one is healthy. The cause, and "
            "the host that holds the disruption slot, are in swarmkeeper status."
        ),
    ),
)
