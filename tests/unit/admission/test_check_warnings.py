"""What the verdict, `validate` and `apply` say of a document that hosts refuse by their reported policies."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.admission import encode, warn
from agent.admission.policy import PROTECTED, Policy, level_policy
from agent.model.intent import ANYWHERE, Constraint, Intent, ServiceIntent, VolumeIntent, Where
from agent.model.spec import ContainerSpec, Mount, Port
from agent.model.status import HostStatus
from tests.support.builders import intent, order, service, status

NAMES = ("h1", "h2", "h3", "h4")
EVERYWHERE = dict.fromkeys(NAMES, 1)
ROOT = replace(order(), privileged=True)
WIDE = encode(level_policy("unrestricted"))
BASELINE = encode(Policy())


def made(*services: ServiceIntent, **more: Any) -> Intent:
    return intent(*services, hosts="h1 h2 h3 h4:worker", **more)


def reports(**admission: str) -> Mapping[str, HostStatus]:
    return {name: status(name, admission=text) for name, text in admission.items()}


def on(*names: str, spec: ContainerSpec = ROOT) -> ServiceIntent:
    return service(on=dict.fromkeys(names, 1), spec=spec)


def test_a_warning_names_service_hosts_key_value_and_setting() -> None:
    (told,) = warn(made(on("h1", "h2", "h3")), reports(h1=BASELINE, h2=WIDE, h3=BASELINE, h4=BASELINE))
    refused = "privileged: true, which `privileged: true` would admit"
    assert told == f"service order waits on h1, h3: `admission` there does not admit {refused}"


def test_what_every_host_admits_or_no_host_reports_is_no_warning() -> None:
    assert warn(made(on(*NAMES, spec=order())), reports(**dict.fromkeys(NAMES, BASELINE))) == ()
    assert warn(made(on(*NAMES)), {}) == ()
    assert warn(made(on(*NAMES)), reports(h1="", h2="{", h3=WIDE)) == ()
    assert warn(made(on("h1")), reports(h2=BASELINE)) == ()
    assert warn(made(service(on={"h1": 0}, spec=ROOT)), reports(h1=BASELINE)) == ()
    assert warn(intent(on("h1"), hosts="h1"), reports(h1=WIDE, h9=BASELINE)) == ()


def test_a_service_that_the_leader_places_waits_on_the_hosts_that_may_run_it() -> None:
    managers = Where(constraints=(Constraint(of="role", equal=True, value="manager"),))
    placed = replace(service(spec=ROOT), placement=(), replicas=2)
    for where, names in ((ANYWHERE, "h1, h2, h3, h4"), (managers, "h1, h2, h3")):
        (told,) = warn(made(replace(placed, where=where)), reports(**dict.fromkeys(NAMES, BASELINE)))
        assert told.startswith(f"service order waits on {names}: ")


def test_hosts_with_other_policies_have_other_settings() -> None:
    capable = replace(order(), cap_add=("BPF",))
    lists = encode(Policy(capabilities=("SYSLOG",)))
    told = warn(made(on("h1", "h2", spec=capable)), reports(h1=BASELINE, h2=lists))
    assert [each.partition("which")[2] for each in told] == [
        " `capabilities: [BPF]` would admit",
        " `capabilities: [SYSLOG, BPF]` would admit",
    ]


def test_a_declared_volume_is_judged_too() -> None:
    mounts = replace(order(), volumes=(Mount(type="volume", target="/v", source="prod_v"),))
    volume = VolumeIntent(key="v", name="prod_v", options=(("device", "/"), ("o", "bind"), ("type", "none")))
    (told,) = warn(made(on("h1", spec=mounts), volumes=(volume,)), reports(h1=BASELINE))
    assert "volumes.prod_v.driver_opts: bind of /" in told


def test_the_text_is_bounded_whatever_the_document_and_the_hosts_say() -> None:
    hosts = " ".join(f"h{number}" for number in range(1, 4))
    many = encode(Policy(registries=tuple(f"r{number}.example.com" for number in range(500))))
    services = [replace(service(on=EVERYWHERE, spec=ROOT), name=f"s{number}") for number in range(30)]
    told = warn(intent(*services, hosts=hosts), reports(h1=many, h2=many, h3=many))
    assert len(told) == 21
    assert told[-1] == "hosts refuse 40 more values of this document"
    assert max(map(len, told)) <= 500


def test_what_a_host_reports_can_neither_stop_the_leader_nor_keep_it_busy() -> None:
    deep = "[" * 16_000
    huge = encode(Policy(registries=tuple(f"r{number}.example.com" for number in range(2000))))
    ports = encode(Policy(host_ports=("x-", "9" * 5000, "80-y", "\N{ARABIC-INDIC DIGIT THREE}")))
    published = on(*NAMES, spec=replace(order(), ports=(Port(target=1, published=80),)))
    told = warn(
        made(published), reports(h1=deep, h2=huge, h3=f'{{"level": "baseline", "x": {deep}}}', h4=ports)
    )
    assert len(told) == 1
    assert told[0].startswith("service order waits on h4: `admission` there does not admit ports: 80")


def test_secrets_of_their_own_make_no_policy_of_each_host() -> None:
    keys = {name: encode(Policy(protected=(*PROTECTED, f"/srv/{name}.key"))) for name in NAMES}
    (told,) = warn(made(on(*NAMES)), reports(**keys))
    assert told.startswith("service order waits on h1, h2, h3, h4: ")
    many = {name: encode(Policy(max_pids=number)) for number, name in enumerate(NAMES, start=1)}
    assert len(warn(made(on(*NAMES)), reports(**many))) > 1
