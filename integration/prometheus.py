"""A real Prometheus on the LAN, with the alert rules of deploy/."""

import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.cluster import ROOT
from integration.lab.eventually import eventually
from integration.lab.lab import Lab

URL = "http://10.159.62.1:9090"
CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: swarmkeeper
    honor_labels: true
    static_configs:
      - targets: {targets}
        labels: {{cluster: prod}}
"""


class Prometheus:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def ask(self, path: str) -> Any:
        answer = self._lab.lan.http_get(f"{URL}/api/v1/{path}")
        assert answer.status == 200, answer.text
        return answer.json()["data"]

    def value(self, query: str) -> list[float]:
        """The values of the query's series now."""
        found = self.ask(f"query?query={urllib.parse.quote(query)}")["result"]
        return [float(each["value"][1]) for each in found]

    def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """The labels of every alert in that state: pending or firing."""
        return [each["labels"] for each in self.ask("alerts")["alerts"] if each["state"] == state]


@contextmanager
def running(lab: Lab, folder: Path) -> Iterator[Prometheus]:
    """Run it until the end of the block, with its data in `folder`; every agent that is up has been scraped by then."""
    targets = json.dumps([f"{host.address}:9477" for host in lab.hosts])
    config = folder / "prometheus.yaml"
    config.write_text(CONFIG.format(rules=ROOT / "deploy/prometheus/alerts.yaml", targets=targets))
    log = (folder / "log").open("w")
    server = lab.lan.popen(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=10.159.62.1:9090",
        stdout=log,
        stderr=log,
    )
    try:
        asked = Prometheus(lab)
        up = [float(sum(host.is_up for host in lab.hosts))]
        eventually(lambda: asked.value('sum(up{job="swarmkeeper"})') == up, 30, "all agents are scraped")
        yield asked
    finally:
        server.terminate()
        server.wait(10)
        log.close()
