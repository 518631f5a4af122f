"""What has to run at the end, whoever made it: the replicas of deploy/examples/cluster.yaml, by host."""

from collections.abc import Mapping

REPLICAS: Mapping[str, frozenset[str]] = {
    "node-231": frozenset({"prod-order-1", "prod-order-2", "prod-console-1"}),
    "node-232": frozenset({"prod-order-3", "prod-billing-1", "prod-api-1"}),
    "node-233": frozenset({"prod-terminal-1", "prod-api-2"}),
}
