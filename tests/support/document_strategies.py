"""Documents of the simulated cluster that differ in what operators change: replicas, images, limits, what there is."""

from typing import Any

from hypothesis import strategies as st

from tests.support.document import HEAD, document
from tests.support.simulated_cluster import NAMES

SERVICES = ("order", "billing", "shop")
IMAGE = "10.159.62.231/somecom/{service}:{tag}"


@st.composite
def _service(draw: st.DrawFn, name: str) -> dict[str, Any]:
    hosts = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), min_size=1))
    said: dict[str, Any] = {
        "image": IMAGE.format(service=name, tag=draw(st.sampled_from(["1.0.0", "1.0.1"]))),
        "restart": "always",
        "networks": ["my-network-overlay"],
        "x-hosts": dict(sorted(hosts.items())),
        "deploy": {
            "update_config": {
                "order": draw(st.sampled_from(["stop-first", "start-first"])),
                "monitor": "1s",
                "parallelism": draw(st.integers(0, 2)),
            }
        },
    }
    more = st.fixed_dictionaries(
        {},
        optional={
            "mem_limit": st.sampled_from(["32m", "64m"]),
            "environment": st.sampled_from([{"GREETING": "hello"}, {"GREETING": "good evening"}]),
            "restart": st.sampled_from(["always", "unless-stopped"]),
        },
    )
    return said | draw(more)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Any of the services, each anyhow."""
    names = draw(st.sets(st.sampled_from(SERVICES)))
    return document(HEAD, services={name: draw(_service(name)) for name in sorted(names)})
