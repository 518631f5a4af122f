"""A step that nothing carries out or predicts does not pass the type check."""

import subprocess
import sys
from pathlib import Path

import agent

ROOT = Path(agent.__file__).parents[1]
ONE_MORE = """
class {name}({base}, verb="check"):
    pass


"""


def with_one_more(source: Path, copy: Path, *, name: str, base: str, union: str) -> None:
    """Write the module to `copy`, with a step more in its union."""
    before, opening, after = source.read_text().partition(f"{union} = (\n")
    assert opening
    copy.write_text(f"{before}{ONE_MORE.format(name=name, base=base)}{opening}    {name} |{after}")


def test_a_step_that_nothing_carries_out_or_predicts_is_an_error_of_type(tmp_path: Path) -> None:
    model = ROOT / "agent/model"
    ours, leaders = tmp_path / "steps.py", tmp_path / "leader_steps.py"
    with_one_more(model / "steps.py", ours, name="CheckContainer", base="_ContainerStep", union="HostStep")
    with_one_more(model / "leader_steps.py", leaders, name="CheckNode", base="_NodeStep", union="LeaderStep")

    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache")),
            *("--shadow-file", str(model / "steps.py"), str(ours)),
            *("--shadow-file", str(model / "leader_steps.py"), str(leaders)),
            *("--module", "agent.apply", "--module", "agent.planner.dry_run.effects"),
        ],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    errors = [line for line in run.stdout.splitlines() if ": error: " in line]
    for file, step in [
        ("agent/apply.py", "CheckContainer"),
        ("agent/apply.py", "CheckNode"),
        ("agent/planner/dry_run/effects.py", "CheckContainer"),
        ("agent/planner/dry_run/effects.py", "CheckNode"),
    ]:
        assert any(line.startswith(file) and step in line for line in errors), run.stdout + run.stderr
