"""What imports cost: resident memory and processor time of each in a fresh interpreter, and added up in one."""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module

from bench.process import memory

STEPS = (
    ("standard library", "ssl email http.client json logging asyncio concurrent.futures dataclasses typing"),
    ("structlog", "structlog"),
    ("yaml", "yaml"),
    ("msgspec", "msgspec"),
    ("grpc", "grpc google.protobuf.message"),
    ("tenacity", "tenacity"),
    ("etcd3", "agent.clients.etcd.channel"),
    ("prometheus-client", "prometheus_client"),
    ("docker", "docker"),
    ("agent", "agent.daemon.main"),
    ("cryptography", "cryptography.fernet"),
    ("rich", "rich.traceback"),
)
"""Names with their modules, in the order in which they are added up. etcd3 comes with the agent's own stubs.

An agent loads cryptography with a sealing key alone, and rich never.
"""
HIDDEN = ("rich", "charset_normalizer")
"""As agent/daemon hides them from structlog and requests."""


def measure(python: Sequence[str], environment: Mapping[str, str]) -> list[dict[str, object]]:
    """Measure each step in an interpreter of its own, then all of them in order in one."""

    def run(names: Sequence[str]) -> list[dict[str, object]]:
        command = [*python, "-m", "bench.import_costs", *names]
        done = subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE)
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    together = run([name for name, _ in STEPS])
    alone = [run([name])[0] for name, _ in STEPS]
    return [{**each, "alone": one} for each, one in zip(together, alone, strict=True)]


def main(names: Sequence[str]) -> list[dict[str, object]]:
    """Import the modules of these steps, here; say what each has added to those before it."""
    modules, found = dict(STEPS), []
    warnings.simplefilter("ignore")  # requests misses what is hidden
    sys.modules.update(dict.fromkeys(HIDDEN))  # type: ignore[arg-type]
    for name in names:
        if name in HIDDEN:
            del sys.modules[name]
        before, began, count = memory(), time.process_time(), len(sys.modules)
        for module in modules[name].split():
            import_module(module)
        after = memory()
        found.append(
            {
                "name": name,
                "rss_mb": round(after.rss - before.rss, 2),
                "anonymous_mb": round(after.anonymous - before.anonymous, 2),
                "cpu_s": round(time.process_time() - began, 3),
                "modules": len(sys.modules) - count,
            }
        )
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
