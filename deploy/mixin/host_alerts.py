"""The alerts of the hosts."""

from deploy.mixin import queries
from deploy.mixin.alert import Alert
from deploy.mixin.queries import JOB, PREFIX, cluster

_HOST = ("name", "state", "reason")
_OWN_ALERT = "!~EngineDown|NotInSwarm|NodeDown|SwarmError|StateNotSaved"
_BRIDGE_WAITS = f'{PREFIX}drift{{kind="gwbridge"}} == 1 and on (cluster, instance) {PREFIX}waiting > 0'

_COVERED = (
    f'({PREFIX}drift{{kind="container", field=~"missing|running"}} '
    f'or {PREFIX}drift{{kind="swarm", field=~"membership|state"}})'
)
"""Drift that other alerts name: replicas that are missing, and a host outside the swarm."""

HOSTS = (
    Alert(
        name="HostUnreachable",
        expr=f"{cluster('host_state', *_HOST, state='Unknown')} == 1 unless on (cluster) {queries.STORE_FULL}",
        wait="2m",
        severity="warning",
        summary="The agent of host {{ $labels.name }} does not report ({{ $labels.reason }})",
        description=(
            "The host or its agent is unreachable; its containers may or may not run, and nothing is repaired "
            "there. Unreachable: no power, no network, or the agent does not run. AgentStopped: the agent was "
            "stopped cleanly. Check the host; on it: systemctl status swarmkeeper docker etcd. Services without "
            "another ready replica have an alert of their own."
        ),
    ),
    Alert(
        name="HostNotAsDeclared",
        expr=f"{cluster('host_state', *_HOST, state='Degraded', reason=_OWN_ALERT)} == 1",
        wait="10m",
        severity="warning",
        summary="Host {{ $labels.name }} is not as declared ({{ $labels.reason }})",
        description=(
            "The agent retries the repair. swarmkeeper status shows what is declared, what was found, and the "
            "next command."
        ),
    ),
    Alert(
        name="Drift",
        expr=(
            f"max by (cluster, host, instance, kind, object) ({PREFIX}drift unless {_COVERED}) == 1 "
            f"unless on (cluster, instance, kind) ({_BRIDGE_WAITS})"
        ),
        wait="10m",
        severity="warning",
        summary=(
            "{{ $labels.kind }} {{ $labels.object }} on {{ $labels.host }} has differed from the document for 10 "
            "minutes"
        ),
        description=(
            'Agents normally repair drift within seconds. The label "field" of swarmkeeper_drift names the field. '
            "swarmkeeper plan shows the steps that would repair it, and what blocks them."
        ),
    ),
    Alert(
        name="Blocked",
        expr=(
            f'{PREFIX}blocked{{reason!~"crash|engine|guard|lock|mode|rollout|store|unhealthy"}} == 1 '
            f'unless ({PREFIX}blocked{{reason="quorum"}} and on (cluster) ({queries.QUORUM_LOST}))'
        ),
        wait="15m",
        severity="warning",
        summary="A change on {{ $labels.host }} has been blocked for 15 minutes ({{ $labels.reason }})",
        description=(
            "A resource differs from the document. The agent deliberately leaves it, because a change could do "
            "harm. swarmkeeper status shows the resource, the full reason and the remedy."
        ),
    ),
    Alert(
        name="DockerDown",
        expr=f"{PREFIX}docker_up == 0",
        wait="2m",
        severity="critical",
        summary="dockerd on {{ $labels.host }} does not answer",
        description=(
            "The agent gets no answer from dockerd. If dockerd is stopped and live-restore is off, the containers "
            "of that host are stopped too; if it hangs, they run, and none can be started. On the host: systemctl "
            "status docker; journalctl -u docker -n 100."
        ),
    ),
    Alert(
        name="ReconcileStale",
        expr=(
            f"time() - {PREFIX}reconcile_last_success_timestamp_seconds > 300 "
            f"unless ({PREFIX}store_up == 0) unless ({PREFIX}docker_up == 0)"
        ),
        wait="2m",
        severity="warning",
        summary="No pass on {{ $labels.host }} has succeeded for {{ humanizeDuration $value }}",
        description=(
            "The agent, etcd and dockerd answer, but every pass of the agent fails: drift on that host is not "
            "repaired. journalctl -u swarmkeeper -p warning shows the error."
        ),
    ),
    Alert(
        name="StatusNotWritten",
        expr=(
            f"increase({PREFIX}status_write_failures_total[15m]) > 3 unless on (cluster) {queries.STORE_FULL} "
            f"unless on (cluster, host) {PREFIX}store_up == 0"
        ),
        severity="warning",
        summary="The agent on {{ $labels.host }} cannot write its status to etcd",
        description=(
            '{{ printf "%.0f" $value }} writes failed within 15 minutes, although etcd can be read. The leader '
            "has an old report of that host, so its replicas are unknown. Look for the error with journalctl -u "
            "swarmkeeper: permissions in etcd, its alarm, or the size of the request."
        ),
    ),
    Alert(
        name="LoginFailures",
        expr=f"increase({PREFIX}login_failures_total[15m]) > 20",
        severity="warning",
        summary="The agent on {{ $labels.host }} refuses many logins to its pages",
        description=(
            '{{ printf "%.0f" $value }} logins had a wrong name or password within 15 minutes: a client guesses, or '
            "a client has an old password. The pages of others work. journalctl -u swarmkeeper -g login names the "
            "client."
        ),
    ),
    Alert(
        name="AgentDown",
        expr=(
            f'up{{job="{JOB}"}} == 0 unless on (cluster) '
            f'count by (cluster) (up{{job="{JOB}"}} == 0) <= {queries.ABSENT_HOSTS}'
        ),
        wait="5m",
        severity="warning",
        summary="Prometheus does not reach the agent on {{ $labels.instance }}",
        description=(
            "Either the agent's page is not reachable from Prometheus (http.listen in agent.yaml, firewall, "
            "web_config), or no leader can tell whether the host is up. Its containers may or may not run. On the "
            "host: systemctl status swarmkeeper; journalctl -u swarmkeeper -n 100."
        ),
    ),
)
