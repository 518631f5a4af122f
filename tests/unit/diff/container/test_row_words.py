"""What an operator reads."""

from dataclasses import replace

import pytest

from agent.diff.container import (
    FillContext,
    are_copied,
    describe_change,
    familiar,
    fill,
    identity,
    is_called_so,
    overlays_in,
    split,
    update_request,
)
from agent.diff.container.row import as_text, cpus, seconds, size
from agent.errors import Invalid
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Healthcheck, Port, Restart

MIB = 2**20
HERE = FillContext(host="node-201", service="order", slot=2, node_id="n0de", address="172.17.0.201")
ORDER = ContainerSpec(image="somecom/order:1.0.0")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (64 * MIB, "64 MiB"),
        (3 * 2**30, "3 GiB"),
        (1500, "1500 bytes"),
        (1536, "1536 bytes"),
        (0, "no limit"),
        (None, "no limit"),
    ],
)
def test_a_size_is_said_exactly_in_the_largest_unit(value: int | None, said: str) -> None:
    assert size(value) == said


def test_other_quantities() -> None:
    assert [cpus(500_000_000), cpus(0), seconds(1_500_000_000), seconds(0)] == [
        "0.5 CPUs", "no limit", "1.5 s", "the engine's choice",
    ]  # fmt: skip


def test_words_stay_on_one_line_of_bounded_length() -> None:
    assert as_text("a\nb") == "a\\nb"
    assert len(as_text("x" * 1000)) == 80
    assert [as_text(value) for value in (None, (), True, False, frozenset({"b", "a"}))] == [
        "nothing", "nothing", "yes", "no", "a, b",
    ]  # fmt: skip


def test_a_change_is_told_field_by_field() -> None:
    new = ContainerSpec(
        image="somecom/order:1.0.1",
        environment=(("DB_PASSWORD", "s3cret"), ("JAVA_OPTS", "-Xmx1g")),
        ports=(Port(target=80, published=8080), Port(target=443, published=8443)),
        memory_limit_bytes=64 * MIB,
        restart=Restart(name="always"),
        command=("serve",),
    )

    assert describe_change(ORDER, new) == (
        "image somecom/order:1.0.0 -> somecom/order:1.0.1; command changed; "
        "environment DB_PASSWORD, JAVA_OPTS changed; "
        "ports added 8080:80/tcp, 8443:443/tcp; restart (none) -> always; memory no limit -> 64 MiB"
    )


def test_values_that_are_no_secrets_are_told_and_only_entries_that_differ() -> None:
    old = ContainerSpec(
        image="order:1",
        ports=(Port(target=8080, published=80), Port(target=53, published=53, protocol="udp")),
        networks=(Attachment(network="a"),),
        user="app",
        dns=("1.1.1.1",),
    )
    new = replace(
        old,
        ports=(Port(target=8080, published=9080), old.ports[1]),
        networks=(Attachment(network="b", ipv4_address="10.0.0.9"),),
        user=None,
        dns=(),
        sysctls=(("net.core.somaxconn", "1024"),),
    )

    assert describe_change(old, new) == (
        "ports 80:8080/tcp -> 9080:8080/tcp; networks a -> b at 10.0.0.9; user app -> (none); "
        "sysctls.net.core.somaxconn added 1024; dns 1.1.1.1 -> (none)"
    )


def test_what_did_not_change_is_not_told() -> None:
    assert describe_change(ORDER, ORDER) == ""


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{.Node.Hostname}}", "node-201"),
        ("{{ .Node.ID }}", "n0de"),
        ("{{.Service.Name}}-{{.Task.Slot}}", "order-2"),
        ("{{.Host.Address}}:8080", "172.17.0.201:8080"),
        ("{{.State.Status}} and ${HOME}", "{{.State.Status}} and ${HOME}"),
    ],
)
def test_placeholders_are_filled_in_wherever_swarm_does(text: str, filled: str) -> None:
    spec = ContainerSpec(
        image="order:1",
        environment=(("X", text),),
        labels=(("x", text),),
        command=(text,),
        entrypoint=(text,),
        hostname=text,
        healthcheck=Healthcheck(test=("CMD", text)),
    )

    done = fill(spec, HERE)

    assert done.healthcheck is not None
    assert [done.environment[0][1], done.labels[0][1], done.command, done.entrypoint, done.hostname] == [
        filled, filled, (filled,), (filled,), filled,
    ]  # fmt: skip
    assert done.healthcheck.test == ("CMD", filled)


def test_the_overlay_address_is_the_fixed_one_of_the_only_network() -> None:
    spec = ContainerSpec(
        image="order:1",
        environment=(("DUBBO_IP_TO_REGISTRY", "{{.Overlay.IP}}"),),
        networks=(Attachment(network="my-network-overlay", ipv4_address="10.10.1.20"),),
    )

    assert fill(spec, HERE).environment == (("DUBBO_IP_TO_REGISTRY", "10.10.1.20"),)


@pytest.mark.parametrize(
    ("networks", "why"),
    [
        ((Attachment(network="a"),), "fixed or reserved"),
        ((Attachment(network="a", ipv4_address="10.0.0.9"), Attachment(network="b")), "exactly one overlay"),
    ],
)
def test_without_one_the_replica_cannot_be_told_its_overlay_address(
    networks: tuple[Attachment, ...], why: str
) -> None:
    spec = ContainerSpec(image="order:1", command=("{{.Overlay.IP}}",), networks=networks)

    with pytest.raises(Invalid, match=why):
        fill(spec, HERE)


def test_a_pinned_address_is_asked_for_and_known_and_a_fixed_one_goes_before_it() -> None:
    spec = ContainerSpec(
        image="order:1",
        environment=(("IP", "{{.Overlay.IP}}"),),
        networks=(Attachment(network="bridge-net"), Attachment(network="net")),
    )
    here = replace(HERE, reserved=(("net", "10.10.255.254"),), local=frozenset({"bridge-net"}))
    fixed = replace(spec, networks=(Attachment(network="net", ipv4_address="10.10.1.20"),))

    assert fill(spec, here).environment == (("IP", "10.10.255.254"),)
    assert [each.address for each in fill(spec, here).networks] == [None, "10.10.255.254"]
    assert fill(fixed, here).environment == (("IP", "10.10.1.20"),)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (ContainerSpec(image="x", command=("--ip={{ .Overlay.IP }}",)), {""}),
        (ContainerSpec(image="x", command=("{{.Overlay.a-b.c.IP}} {{ .Overlay.d.IP }}",)), {"a-b.c", "d"}),
        (ContainerSpec(image="x", healthcheck=Healthcheck(test=("CMD", "{{.Overlay.IP}}"))), {""}),
        (ContainerSpec(image="x", domainname="{{.Overlay.IP}}"), set()),
        (ContainerSpec(image="x", environment=(("A", "{{.Node.ID}} Overlay.IP"),)), set()),
    ],
)
def test_a_spec_tells_on_which_overlays_it_needs_its_address(spec: ContainerSpec, named: set[str]) -> None:
    assert overlays_in(spec) == named


def test_of_several_overlays_each_is_filled_in_by_its_name_and_none_without_an_address() -> None:
    spec = ContainerSpec(
        image="order:1",
        environment=(
            ("A", "{{.Overlay.a.IP}}"),
            ("B", "{{ .Overlay.Node.ID.IP }}:80"),
            ("C", "{{.Node.ID}}"),
        ),
        networks=(Attachment(network="Node.ID", ipv4_address="10.2.0.9"), Attachment(network="a")),
    )
    here = replace(HERE, reserved=(("a", "10.1.0.9"),))

    assert fill(spec, here).environment == (("A", "10.1.0.9"), ("B", "10.2.0.9:80"), ("C", "n0de"))
    for lacking in (HERE, replace(here, local=frozenset({"a"}))):
        with pytest.raises(Invalid, match=r"\{\{.Overlay.a.IP\}\} has no value here: .* on a$"):
            fill(spec, lacking)


@pytest.mark.parametrize("slot", ["slot", "copy"])
def test_identity_needs_all_of_service_number_and_spec(slot: str) -> None:
    """The number also by the label that agents of the earlier format gave."""
    labels = {"io.swarmkeeper.service": "order", f"io.swarmkeeper.{slot}": "2", "io.swarmkeeper.spec": "5bec"}

    assert identity(labels) == Replica(service="order", slot=2, spec="5bec")
    for each in labels:
        assert identity({key: value for key, value in labels.items() if key != each}) is None


@pytest.mark.parametrize("slot", ["slot", "copy"])
def test_a_container_is_known_by_its_name_and_told_from_a_commit_of_it(slot: str) -> None:
    labels = {f"io.swarmkeeper.{key}": "x" for key in ("cluster", "project", "service", "spec")}
    labels |= {f"io.swarmkeeper.{slot}": "2"}

    assert is_called_so(labels, ["other", "x-x-2"])
    assert not is_called_so(labels, ["x-x-1", "x-x-"])
    assert are_copied(labels, dict(labels))
    assert not are_copied(labels, labels | {f"io.swarmkeeper.{slot}": "1"})


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("busybox", "busybox:latest"),
        ("docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/somecom/order", "somecom/order:latest"),
        ("10.159.62.231/somecom/order", "10.159.62.231/somecom/order:latest"),
        ("registry:5000/order:1", "registry:5000/order:1"),
        ("order@sha256:abc", "order@sha256:abc"),
    ],
)
def test_references_have_one_short_form(reference: str, short: str) -> None:
    assert familiar(reference) == short


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("registry:5000/order", ("registry:5000/order", "latest")),
        ("registry:5000/order:1.0", ("registry:5000/order", "1.0")),
        ("order@sha256:abc", ("order", "sha256:abc")),
    ],
)
def test_a_port_is_no_tag(reference: str, parts: tuple[str, str]) -> None:
    assert split(reference) == parts


def test_an_update_raises_the_swap_limit_with_the_memory_limit() -> None:
    """Else the engine refuses a memory limit above the old sum of both."""
    body = update_request(ContainerSpec(image="x", memory_limit_bytes=64 * MIB))

    assert (body["Memory"], body["MemorySwap"]) == (64 * MIB, 128 * MIB)


def test_an_update_does_not_touch_what_the_engine_cannot_take_away() -> None:
    body = update_request(ContainerSpec(image="x"))

    assert not {"Memory", "MemoryReservation", "NanoCpus"} & set(body)
    assert (body["PidsLimit"], body["RestartPolicy"]["Name"]) == (-1, "no")
