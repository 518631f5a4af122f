"""docs/intent-reference.md names every key that is offered, and no service key that is not."""

import re
from pathlib import Path

import pytest

from agent.intent import MOST_NAMED, TOP, cluster, deploy, limits, mounts, networks, ports, process
from agent.intent.checks import MOST_OF_SPECS, MOST_PUBLISHED
from agent.intent.extent import MOST_CONSIDERED, MOST_IN_ALL
from agent.intent.process import MOST_SPLIT
from agent.intent.refused import SERVICE_REFUSED
from agent.intent.resolve import KNOWN
from agent.intent.service import FIELDS, OTHERS
from agent.model.records import LARGEST_VALUE
from agent.yamldoc import MAX_BYTES, MAX_KEPT
from agent.yamldoc.compose import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from agent.yamldoc.readers import LONGEST_TEXT
from tests.support.reference import written

PAGE = (Path(__file__).parents[2] / "docs/intent-reference.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next one of its kind."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def keys_of_the_table(text: str) -> set[str]:
    """What the first column of the tables in `text` names."""
    cells = re.findall(r"(?m)^\| (`[^|]+) \|", text)
    return {key for cell in cells for key in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("Top level", tuple(TOP.known)),
        ("networks.*", (*networks.NETWORK.known, *networks.SUBNET.known)),
        ("volumes.*", networks.VOLUME.known),
        (
            "services.*",
            (*FIELDS, *OTHERS, *networks.ATTACHMENT.known, *process.HEALTH.known, *ports.LONG.known),
        ),
        ("services.*", (*mounts.MOUNT.known, *mounts.BIND.known, *mounts.VOLUME.known, *mounts.TMPFS.known)),
        (
            "services.*",
            (*deploy.DEPLOY.known, *deploy.UPDATE.known, *deploy.LIMITS.known, *deploy.RESERVATIONS.known),
        ),
        (
            "services.*",
            (
                *deploy.RESTART.known,
                *limits.REQUEST.known,
                *limits.BLKIO.known,
                *limits.DEVICE.known,
                *mounts.USE.known,
            ),
        ),
        ("secrets.*, configs.*", mounts.CONFIG.known),
        ("x-cluster", cluster.CLUSTER.known),
        ("x-cluster", [f"hosts.*.{key}" for key in cluster.HOST.known]),
        ("x-cluster", [f"gwbridge.{key}" for key in cluster.BRIDGE.known]),
        ("x-cluster", [f"swarm.{key}" for key in cluster.SWARM.known]),
        ("x-cluster", [f"swarm.join_tokens.{key}" for key in cluster.TOKENS.known]),
        ("x-cluster", [f"policy.{key}" for key in cluster.POLICY.known]),
    ],
)
def test_every_key_that_is_offered_is_in_the_reference(title: str, keys: list[str]) -> None:
    text = section(title)
    named = {
        word
        for quoted in re.findall(r"`([^`]+)`", text)
        for word in (quoted, quoted.split(":")[0], *quoted.split("."))
    }
    assert [key for key in keys if key not in named] == []


def test_no_service_key_is_in_the_table_that_is_not_offered() -> None:
    table = keys_of_the_table(section("services.*").split("**ports**")[0])
    assert table - {"io.swarmkeeper.*"} == {*FIELDS, *OTHERS}
    assert not table & set(SERVICE_REFUSED)


def test_every_service_key_that_is_not_offered_is_said_to_be() -> None:
    """Those for Windows are named together."""
    said = section("services.*").split("**Not offered**")[1]
    windows = {key for key, reason in SERVICE_REFUSED.items() if "Windows" in reason}
    assert [key for key in SERVICE_REFUSED if key not in windows and f"`{key}`" not in said] == []


def test_the_bounds_in_the_reference_are_the_real_ones() -> None:
    bounds = PAGE.split("**Bounds**")[1].split("\n\n")[0]
    in_characters = (LONGEST_TEXT, MAX_CHARACTERS, MOST_SPLIT)
    for bound in (
        MAX_BYTES,
        MAX_KEPT,
        LARGEST_VALUE,
        MOST_OF_SPECS,
        MAX_NODES,
        MOST_PUBLISHED,
        MOST_IN_ALL,
        MOST_CONSIDERED,
        *in_characters,
    ):
        assert f"{bound:,}" in bounds
    for bound in (MAX_DEPTH, MOST_NAMED, cluster.MOST_HOSTS, deploy.MOST_REPLICAS, deploy.MOST_ON_A_HOST):
        assert str(bound) in bounds


def test_the_tables_that_are_made_from_the_code_are_not_older_than_it() -> None:
    assert written(PAGE) == PAGE, "run script/reference"


def test_every_placeholder_is_in_the_reference() -> None:
    assert [name for name in KNOWN if f"`{{{{.{name}}}}}`" not in PAGE] == []
