"""A pass of a host at rest: what it takes grows with its replicas, and not faster."""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.simulated_cluster import SimulatedCluster

LEADER, HOST = "node-231", "node-232"
FEW, FACTOR = 20, 4
_DOCUMENT = """\
name: prod
x-cluster:
  version: 1
  hosts:
    node-231: {{address: 10.159.62.231, role: manager}}
    node-232: {{address: 10.159.62.232, role: worker}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  net: {{name: net, attachable: true, ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}}}
services:
  order:
    image: registry.example/order:1.0.0
    networks: [net]
    x-hosts: {{node-232: {replicas}}}
    deploy: {{update_config: {{parallelism: 0, monitor: 1s}}}}
"""


def _calls(directory: Path, replicas: int) -> Counter[str]:
    """Return the calls of a pass by the place of the function, without those of the fakes."""
    document = _DOCUMENT.format(replicas=replicas)
    cluster = SimulatedCluster(directory, document, names=(LEADER, HOST))
    cluster.put_intent(document)
    cluster.start()
    cluster.settle()
    agent, calls = cluster.agents[HOST], Counter[str]()

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        place = frame.f_code
        if event == "call" and "/agent/" in place.co_filename:
            calls[f"{place.co_filename.rpartition('/agent/')[2]}: {place.co_qualname}"] += 1

    plan = agent.loop.run_pass(frozenset({"container update one"}))
    assert not plan.steps, plan
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        agent.loop.run_pass(frozenset({"container update one"}))
    finally:
        sys.setprofile(before)
    assert len(cluster.hosts[HOST].engine.by_hand.raws) == replicas
    return calls


def test_a_pass_calls_no_function_more_often_than_its_replicas_ask_for(tmp_path: Path) -> None:
    few, many = (_calls(tmp_path / str(each), each) for each in (FEW, FEW * FACTOR))

    assert few.total() > FEW
    most = {place: FACTOR * count for place, count in few.items()}
    assert {place: count for place, count in many.items() if count > most.get(place, 0) + FACTOR} == {}
