"""The alerts of the services and of the document."""

from deploy.mixin import queries
from deploy.mixin.alert import Alert
from deploy.mixin.queries import PREFIX, cluster

_RESTARTS = f"max by (cluster, host, service, slot) (increase({PREFIX}container_restarts_total[15m])) > 5"
_NOT_READY = f"{cluster('replicas', 'service', state='ready')} == 0"
_CRASH_LOOP = "Replica {{ $labels.slot }} of {{ $labels.service }} exits repeatedly on {{ $labels.host }}"
_CRASH_CAUSE = (
    '{{ printf "%.0f" $value }} restarts within 15 minutes. swarmkeeper status shows its exit code and '
    "last output, swarmkeeper logs all of it. Exit code 137 is SIGKILL, often the memory limit. If the loop "
    "began with a release, run swarmkeeper rollback."
)

SERVICES = (
    Alert(
        name="ServiceDown",
        expr=f"({queries.SERVICE_DOWN}) unless on (cluster) {queries.STORE_FULL}",
        wait="3m",
        severity="critical",
        summary=(
            "Service {{ $labels.service }} of cluster {{ $labels.cluster }} has no replica that is known to be "
            "ready"
        ),
        description=(
            'On average over 5 minutes {{ printf "%.1f" $value }} replicas were ready. They crash, fail their '
            "health check, cannot start, or their hosts are unreachable. swarmkeeper status names the first cause "
            "and the next command."
        ),
    ),
    Alert(
        name="ReplicasMissing",
        expr=(
            f"({queries.ready_average(10)} < on (cluster, service) {queries.DESIRED} - 0.5) "
            f"unless on (cluster, service) ({queries.SERVICE_DOWN}) unless on (cluster) {queries.STORE_FULL}"
        ),
        wait="5m",
        severity="warning",
        summary=(
            "Service {{ $labels.service }} of cluster {{ $labels.cluster }} has fewer ready replicas than "
            "declared"
        ),
        description=(
            'On average over 10 minutes only {{ printf "%.1f" $value }} replicas were ready; the others serve on. '
            "swarmkeeper status names the replica, its host and the cause."
        ),
    ),
    Alert(
        name="HostReplicasMissing",
        expr=(
            f"{PREFIX}service_replicas_desired > {PREFIX}service_replicas_running "
            f"unless on (cluster) {PREFIX}cluster_converged"
        ),
        wait="5m",
        severity="critical",
        summary=(
            "Replicas of {{ $labels.service }} do not run on {{ $labels.host }}, and no leader watches the "
            "service"
        ),
        description=(
            "{{ $labels.host }} should run {{ $value }} replicas of {{ $labels.service }}, and has run fewer "
            "for 5 minutes. Without a leader it is not known whether other hosts run the service. On that host: "
            "docker ps -a; journalctl -u swarmkeeper."
        ),
    ),
    Alert(
        name="CrashLoop",
        expr=f"{_RESTARTS} and on (cluster, service) {_NOT_READY}",
        severity="critical",
        summary=f"{_CRASH_LOOP}, and the service has no ready replica",
        description=_CRASH_CAUSE,
    ),
    Alert(
        name="CrashLoop",
        expr=f"{_RESTARTS} unless on (cluster, service) {_NOT_READY}",
        severity="warning",
        summary=_CRASH_LOOP,
        description=_CRASH_CAUSE,
    ),
    Alert(
        name="RolloutFailed",
        expr=f"{cluster('rollout_state', 'service', 'state', state='~RolloutPaused|RolledBack')} == 1",
        wait="1m",
        severity="warning",
        summary=(
            "The rollout of {{ $labels.service }} in cluster {{ $labels.cluster }} has failed ({{ $labels.state "
            "}})"
        ),
        description=(
            "A new replica did not become ready. RolloutPaused: the other replicas keep the former version until "
            "you act. RolledBack: all replicas run the former version again. swarmkeeper status names the replica "
            "and its error. Apply a corrected document, or the previous one."
        ),
    ),
)

_FAULTS = cluster("condition", "type", "reason", type="~Degraded|Blocked|Unknown")
_PROGRESS = f'sum by (cluster) (changes({PREFIX}cluster_replicas{{state=~"ready|updated"}}[30m])) > 0'
_OTHER_ALERTS = (
    'ALERTS{alertname=~"Swarmkeeper.*", alertname!="SwarmkeeperNotConverged", alertstate="firing", '
    'severity!="info"}'
)

DOCUMENT = (
    Alert(
        name="IntentRejected",
        expr=f"min by (cluster) ({PREFIX}intent_valid) == 0",
        wait="2m",
        severity="warning",
        summary="The newest document of cluster {{ $labels.cluster }} is refused",
        description=(
            "The document in etcd has faults. The previous document stays accepted, and nothing has changed. "
            "swarmkeeper status lists every fault with line and column. Correct the document and apply it."
        ),
    ),
    Alert(
        name="NotConverged",
        expr=(
            f"{cluster('converged')} == 0 "
            f"unless on (cluster) ({queries.NOT_ENFORCED}) "
            f"unless on (cluster) (sum by (cluster) ({_FAULTS}) == 0 and on (cluster) {_PROGRESS}) "
            f"unless on (cluster) {_OTHER_ALERTS}"
        ),
        wait="30m",
        severity="warning",
        summary="Cluster {{ $labels.cluster }} has not been converged for 30 minutes",
        description=(
            "Something is not as declared, and no other alert names it. The first line of swarmkeeper status says "
            "what and why; swarmkeeper plan lists the open steps. A rollout that makes progress does not fire "
            "this alert."
        ),
    ),
    Alert(
        name="Paused",
        expr=f'max by (cluster) ({PREFIX}mode{{mode="paused"}}) == 1',
        wait="4h",
        severity="info",
        summary="Cluster {{ $labels.cluster }} has been paused for 4 hours",
        description=(
            'x-cluster.policy.mode is "paused": the agents neither detect nor repair drift. If the maintenance is '
            'over, apply the document with mode "enforce".'
        ),
    ),
)
