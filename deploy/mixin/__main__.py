"""Writes the alert rules and dashboards: `script/mixin`."""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.mixin.alerts import alert_rules
from deploy.mixin.dashboards import DASHBOARDS

RUNBOOK = "https://swarmkeeper.example/docs/runbook"
"""Default address of the runbook. `.example` never resolves: set the address of your docs/runbook.md."""
DEPLOY = Path(__file__).parents[1]
HEADER = """\
# Alert rules, made by script/mixin from deploy/mixin/: edit that. docs/runbook.md has a section per alert, and
# alerts_test.yaml tests when each fires and when it does not.
#
# The links begin with {runbook}.
# Set yours: script/mixin --runbook URL, or replace the address in this file.
"""


def generated(runbook: str = RUNBOOK) -> dict[str, str]:
    """Return the content of each file, by its path below deploy/."""
    rules = yaml.dump(
        alert_rules(runbook),
        Dumper=_Dumper,
        sort_keys=False,
        width=110,
        allow_unicode=True,
        default_flow_style=False,
    )
    files = {"prometheus/alerts.yaml": HEADER.format(runbook=runbook) + rules}
    for name, built in DASHBOARDS.items():
        files[f"dashboards/{name}.json"] = _numbered(json.loads(json.dumps(built(), cls=JSONEncoder)))
    return files


def _numbered(dashboard: dict[str, Any]) -> str:
    """Return the dashboard with an id per panel, which Grafana would give at random."""
    for number, panel in enumerate(dashboard["panels"], 1):
        panel["id"] = number
    return json.dumps(dashboard, indent=2) + "\n"


class _Dumper(yaml.SafeDumper):
    """Writes long texts folded, so that a line of the file is a line to read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - as in PyYAML
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=">" if len(value) > 90 else None)  # noqa: PLR2004


_Dumper.add_representer(str, _text)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runbook", default=RUNBOOK, help="address of the runbook, without the anchor")
    parser.add_argument("--output", type=Path, default=DEPLOY, help="folder to write below")
    given = parser.parse_args()
    for name, content in generated(given.runbook).items():
        path = given.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


if __name__ == "__main__":
    main()
