"""The systemd unit as shipped, judged by systemd's own offline checks."""

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "swarmkeeper.service"
TLS_DROP_IN = UNIT.parent / "tls.conf"
EXPOSURE_LIMIT = "20"  # tenths, as systemd-analyze counts: 2.0


def complaints(unit: Path) -> str:
    """What systemd says against the unit itself, and not against those it is ordered after.

    Everything it says counts: a bad value is only a warning to it, with exit code 0.
    """
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line or TLS_DROP_IN.name in line]
    return "\n".join(said)


def is_hardened(unit: Path) -> bool:
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_LIMIT}", str(unit)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found[key].append(value)
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The shipped unit, except that its program exists on this machine as well."""
    text = UNIT.read_text()
    assert text.count("ExecStart=/usr/bin/swarmkeeper run\n") == 1
    replica = tmp_path / UNIT.name
    replica.write_text(text.replace("/usr/bin/swarmkeeper run", "/bin/true"))
    return replica


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    assert complaints(unit) == ""


def test_systemd_has_nothing_to_say_against_the_tls_example(unit: Path) -> None:
    drop_ins = unit.with_name(f"{unit.name}.d")
    drop_ins.mkdir()
    (drop_ins / TLS_DROP_IN.name).write_text(TLS_DROP_IN.read_text())

    assert complaints(unit) == ""


@pytest.mark.parametrize("mistake", ["ProtectSytem=strict", "MemoryMax=12Q", "Type=notifi"])
def test_a_mistake_in_the_unit_is_seen(unit: Path, mistake: str) -> None:
    unit.write_text(unit.read_text().replace("[Install]", f"{mistake}\n[Install]"))

    assert mistake.partition("=")[2] in complaints(unit) or mistake.partition("=")[0] in complaints(unit)


def test_a_mistake_in_the_tls_example_is_seen(unit: Path) -> None:
    drop_ins = unit.with_name(f"{unit.name}.d")
    drop_ins.mkdir()
    (drop_ins / TLS_DROP_IN.name).write_text(
        TLS_DROP_IN.read_text().replace("LoadCredential=", "LoadCredental=")
    )

    assert "LoadCredental" in complaints(unit)


def test_the_unit_is_exposed_to_two_points_at_most(unit: Path) -> None:
    assert is_hardened(unit)


@pytest.mark.parametrize("protection", ["SystemCallFilter=", "CapabilityBoundingSet="])
def test_a_protection_taken_away_is_seen(unit: Path, protection: str) -> None:
    lines = unit.read_text().splitlines(keepends=True)
    unit.write_text("".join(line for line in lines if not line.startswith(protection)))

    assert not is_hardened(unit)


def test_the_agent_outlives_dockerd() -> None:
    tied = {"Requires", "Requisite", "BindsTo", "PartOf", "Upholds"} & settings(UNIT).keys()

    assert not tied


def test_the_agent_is_there_before_dockerd_answers() -> None:
    after = settings(UNIT)["After"][0].split()

    assert "docker.service" not in after
    assert {"docker.socket", "etcd.service"} <= set(after)


def test_the_agent_is_started_again_whatever_happens() -> None:
    unit = settings(UNIT)

    assert (unit["Restart"], unit["RestartSec"], unit["StartLimitIntervalSec"]) == (["always"], ["2s"], ["0"])


def test_a_hung_agent_is_killed_and_leaves_no_memory_image() -> None:
    unit = settings(UNIT)

    assert (unit["Type"], unit["WatchdogSec"], unit["LimitCORE"]) == (["notify"], ["90s"], ["0"])
