"""Random specs and paths: what a level admits never has what the level is there to refuse."""

import posixpath
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.admission import Gate
from agent.admission.policy import ENGINE_CAPABILITIES, PROTECTED, Policy, level_policy
from agent.intent.rights import CAPABILITIES
from agent.model.spec import ContainerSpec, Device, Mount
from tests.support.spec_strategies import specs

PARTS = (
    "srv",
    "data",
    "etc",
    "run",
    "var",
    "lib",
    "docker",
    "docker.sock",
    "swarmkeeper",
    "..",
    ".",
    "",
    "localtime",
    "a",
)
PATHS = st.lists(st.sampled_from(PARTS), max_size=6).map(lambda parts: "/" + "/".join(parts))
LINKS = st.dictionaries(PATHS.map(posixpath.normpath), PATHS.map(posixpath.normpath) | st.none(), max_size=3)
BINDS = st.builds(
    Mount, type=st.just("bind"), target=st.just("/in"), source=PATHS, read_only=st.booleans(),
    create_host_path=st.booleans(),
)  # fmt: skip
CLOCK = "/etc/localtime"
ALLOWED = ("/srv", "/data")


@st.composite
def hostile(draw: st.DrawFn) -> ContainerSpec:
    """A spec that has what a container needs to become root on its host, more often than not."""
    return replace(
        draw(specs()),
        volumes=tuple(draw(st.lists(BINDS, max_size=2))),
        privileged=draw(st.booleans()),
        pid=draw(st.sampled_from([None, "host"])),
        ipc=draw(st.sampled_from([None, "host", "private"])),
        network_mode=draw(st.sampled_from([None, "host", "none"])),
        cap_add=tuple(draw(st.lists(st.sampled_from([*CAPABILITIES, "ALL", "cap_sys_admin"]), max_size=2))),
        security_opt=tuple(draw(st.lists(st.sampled_from(["seccomp=unconfined", "no-new-privileges"]), max_size=1))),
        devices=tuple(draw(st.lists(st.just(Device(source="/dev/mem", target="/m")), max_size=1))),
    )  # fmt: skip


def harmless(volumes: bool = True) -> st.SearchStrategy[ContainerSpec]:
    return hostile().map(
        lambda spec: replace(
            spec, privileged=False, pid=None, ipc=None, network_mode=None, cap_add=(), security_opt=(), devices=(),
            device_cgroup_rules=(), gpus=(), annotations=(), cgroup_parent=None, runtime=None, logging=None, uts=None,
            userns_mode=None, cgroup=None, volumes=spec.volumes if volumes else (),
        )
    )  # fmt: skip


@given(spec=st.one_of(hostile(), harmless()), links=LINKS)
def test_baseline_admits_nothing_with_which_a_container_becomes_root(
    spec: ContainerSpec, links: dict[str, str | None]
) -> None:
    gate = Gate(real_path=lambda path: links.get(path, path))
    if list(gate.container(spec)):
        return
    assert not spec.privileged
    assert "host" not in (spec.pid, spec.ipc, spec.network_mode)
    assert set(spec.cap_add) <= ENGINE_CAPABILITIES
    assert "seccomp=unconfined" not in spec.security_opt
    assert not spec.devices
    for mount in spec.volumes:
        assert mount.source is not None
        source = posixpath.normpath(mount.source).replace("//", "/")
        if (source + "/").startswith(CLOCK + "/"):
            assert mount.read_only
        if source == CLOCK:
            continue
        real = links.get(source, source)
        roots = [each for each in (*ALLOWED, CLOCK) if (source + "/").startswith(each + "/")]
        assert roots
        assert source in ALLOWED or real is not None
        for each in (source, real or source):
            assert not any((each + "/").startswith(path + "/") for path in PROTECTED)
            assert not any((path + "/").startswith(each.rstrip("/") + "/") for path in PROTECTED)


@given(spec=harmless(volumes=False))
def test_baseline_admits_every_spec_without_a_right_on_the_host(spec: ContainerSpec) -> None:
    assert not list(Gate().container(spec))


@given(spec=hostile(), links=LINKS)
def test_unrestricted_admits_everything_and_restricted_nothing_that_baseline_refuses(
    spec: ContainerSpec, links: dict[str, str | None]
) -> None:
    def admits(policy: Policy) -> bool:
        return not list(Gate(policy=policy, real_path=lambda path: links.get(path, path)).container(spec))

    baseline, restricted = admits(Policy()), admits(level_policy("restricted"))
    assert admits(level_policy("unrestricted"))
    assert baseline or not restricted
