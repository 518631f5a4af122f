"""Compose's other spellings: a document means the same with them, and says which keys have no effect."""

import pytest

from agent.intent import warnings
from agent.intent.vocabulary import COMPLETED
from agent.model.faults import InvalidDocument
from agent.model.spec import Attachment, ContainerSpec, Restart
from tests.unit.intent.documents import CLUSTER, NETWORKS, faults, parse

PLACED = "x-hosts: [one]"


def of(service: str, top: str = "", networks: str = NETWORKS, cluster: str = CLUSTER) -> str:
    return f"{cluster}{networks}{top}services:\n  web: {{image: web, {service}}}\n"


def spec(text: str, service: str = "web") -> ContainerSpec:
    return next(each for each in parse(text).services if each.name == service).spec


def notes(text: str) -> tuple[str, ...]:
    return parse(text).notes


# ---- The same thing, spelled otherwise


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        (f"{PLACED}, command: null, entrypoint: null", PLACED),
        (f"{PLACED}, expose: [80]", PLACED),
        ("scale: 3", "deploy: {replicas: 3}"),
        ("scale: 3, deploy: {replicas: 3}", "deploy: {replicas: 3}"),
        ("init: true", "init: true, deploy: {replicas: 1}"),
        (f"{PLACED}, deploy: {{endpoint_mode: vip}}", PLACED),
        (f"{PLACED}, deploy: {{labels: {{a: b}}}}", PLACED),
        (f"{PLACED}, volumes: ['data:/d:z']", f"{PLACED}, volumes: ['data:/d']"),
        (f"{PLACED}, volumes: ['data:/d:ro,Z']", f"{PLACED}, volumes: ['data:/d:ro']"),
        (f"{PLACED}, volumes: ['/a:/d:cached']", f"{PLACED}, volumes: ['/a:/d']"),
        (f"{PLACED}, volumes: ['/a:/d:delegated,z']", f"{PLACED}, volumes: ['/a:/d:z']"),
        (
            f"{PLACED}, volumes: [{{type: volume, source: data, target: /d, bind: {{selinux: z}}}}]",
            f"{PLACED}, volumes: ['data:/d']",
        ),
        (f"{PLACED}, ports: [{{target: 80, published: 80, mode: ingress}}]", f"{PLACED}, ports: ['80:80']"),
        (f"{PLACED}, depends_on: {{db: {{restart: true, required: true}}}}", f"{PLACED}, depends_on: [db]"),
    ],
)
def test_another_spelling_is_the_same_document(written: str, ours: str) -> None:
    db = "  db: {image: db, x-hosts: [one]}\n"
    first, second = parse(of(written) + db), parse(of(ours) + db)
    assert first.services == second.services


def test_version_is_of_no_meaning_and_noted() -> None:
    assert notes(of(PLACED, top="version: '3.8'\n")) == ("version: has no meaning any more in Compose",)


def test_the_second_version_of_external_and_the_default_ipam_driver_are_taken() -> None:
    networks = "networks: {a: {external: {name: b}}, c: {ipam: {driver: default}}}\n"
    networks += "volumes: {v: {external: {name: ww}}}\n"
    document = parse(of(f"{PLACED}, networks: [a, c]", networks=networks))
    assert [(each.name, each.external) for each in document.networks] == [("b", True), ("shop_c", False)]
    assert [(each.name, each.external) for each in document.volumes] == [("ww", True)]


def test_files_of_configs_may_have_the_name_that_compose_prints() -> None:
    assert (
        parse(of(f"{PLACED}, configs: [c]", top="configs: {c: {name: shop_c, file: /c}}\n"))
        .services[0]
        .spec.volumes
    )


# ---- The network `default`


@pytest.mark.parametrize("networks", ["", "networks: {}\n", "networks:\n"])
def test_services_without_networks_are_on_one_that_the_document_gets(networks: str) -> None:
    document = parse(of(PLACED, networks=networks))
    assert [(each.key, each.name, each.driver) for each in document.networks] == [
        ("default", "shop_default", "overlay")
    ]
    assert document.services[0].spec.networks == (Attachment(network="shop_default"),)


def test_default_may_be_named_without_being_declared() -> None:
    document = parse(of(f"{PLACED}, networks: [default, inner]"))
    assert [each.network for each in document.services[0].spec.networks] == ["shop_default", "shop_inner"]


def test_a_document_without_services_on_it_gets_no_network() -> None:
    assert parse(of(f"{PLACED}, network_mode: host", networks="")).networks == ()


# ---- Names in DNS


def test_container_name_is_a_name_of_the_one_replica_on_its_networks() -> None:
    text = of("container_name: main-db, networks: [inner]")
    assert spec(text).networks == (Attachment(network="shop_inner", aliases=("main-db",)),)
    assert notes(text) == (
        "services.web.container_name: is a name of the service in DNS; replicas are called <project>-<service>-<slot>",
    )


def test_container_name_joins_the_aliases_that_are_there() -> None:
    text = of("container_name: main-db, networks: {inner: {aliases: [x]}}")
    assert spec(text).networks[0].aliases == ("main-db", "x")


def test_container_name_is_refused_where_it_names_several_on_a_host() -> None:
    assert faults(of("container_name: main, deploy: {replicas: 2}")) == [
        "services.web.container_name: is the name of one container"
    ]


def test_container_name_of_a_service_on_every_host_is_a_name_of_all_its_replicas() -> None:
    assert spec(of("container_name: main, deploy: {mode: global}")).networks[0].aliases == ("main",)


@pytest.mark.parametrize("wrong", ["a", "main-", "ma in"])
def test_container_name_that_is_none_in_docker_or_in_dns_is_refused_at_its_place(wrong: str) -> None:
    assert faults(of(f"container_name: {wrong}")) == [
        f"services.web.container_name: '{wrong}' is not a name in DNS of two characters or more"
    ]


def test_container_name_of_a_service_on_one_host_is_a_name_too() -> None:
    assert spec(of("container_name: main, x-hosts: [one]")).networks[0].aliases == ("main",)


def test_a_service_whose_end_others_wait_for_runs_once_as_in_compose() -> None:
    text = f"{of(PLACED)}  job: {{image: job}}\n  late: {{image: x, depends_on: {{job: {{condition: {COMPLETED}}}}}}}\n"
    restarts = {each.name: each.spec.restart for each in parse(text).services}
    assert restarts == {"web": None, "job": Restart(name="no", max_retries=0), "late": None}
    assert "services.job.restart: is no, Compose's default: others wait until it completes" in notes(text)


def test_container_name_without_a_network_has_no_effect() -> None:
    (told,) = notes(of("container_name: main, network_mode: host"))
    assert told.startswith("services.web.container_name: has no effect")


def test_links_are_noted_and_a_second_name_in_one_is_an_alias_of_the_other_service() -> None:
    text = of(f"{PLACED}, links: [db, 'db:store']") + "  db: {image: db, x-hosts: [one]}\n"
    assert spec(text, "db").networks == (Attachment(network="shop_inner", aliases=("store",)),)
    assert notes(text) == ("services.web.links: services on a network reach each other by name without it",)


# ---- Labels of a service of Swarm


@pytest.mark.parametrize("labels", ["{a: b}", "[a=b]"])
def test_deploy_labels_go_to_the_containers_if_the_policy_says_so(labels: str) -> None:
    cluster = CLUSTER + "  policy: {deploy_labels: containers}\n"
    text = of(f"{PLACED}, labels: {{c: d}}, deploy: {{labels: {labels}}}", cluster=cluster)
    assert spec(text).labels == (("a", "b"), ("c", "d"))
    assert not notes(text)


def test_deploy_labels_without_that_policy_are_noted_with_the_way() -> None:
    (told,) = notes(of(f"{PLACED}, deploy: {{labels: {{a: b}}}}"))
    assert told.endswith("x-cluster.policy.deploy_labels: containers puts them on containers")


# ---- Notes and faults


def test_one_note_names_all_its_places_and_stays_short() -> None:
    services = "".join(f"  s{number}: {{image: x, {PLACED}, expose: [80]}}\n" for number in range(9))
    (told,) = notes(f"{CLUSTER}{NETWORKS}services:\n{services}")
    assert told.startswith("services.s0.expose, services.s1.expose, ")
    assert "4 more: has no effect" in told


def test_notes_are_warnings_of_the_document() -> None:
    assert set(notes(of(f"{PLACED}, expose: [80]"))) <= set(warnings(parse(of(f"{PLACED}, expose: [80]"))))


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("scale: 2, deploy: {replicas: 3}", "scale"),
        ("scale: 2, x-hosts: [one]", "scale"),
        ("links: db", "links"),
        ("expose: 80", "expose"),
        ("deploy: {endpoint_mode: any}", "deploy.endpoint_mode"),
        ("deploy: {labels: a}", "deploy.labels"),
        ("deploy: a", "deploy"),
        ("volumes: [{type: volume, target: /a, read_only: {}}]", "volumes[0].read_only"),
        ("deploy: [replicas]", "deploy"),
        ("depends_on: {web2: {restart: maybe}}", "depends_on.web2.restart"),
        ("volumes: [{type: volume, target: /a, consistency: [a]}]", "volumes[0].consistency"),
    ],
)
def test_what_cannot_be_respelled_is_a_fault_at_its_place(written: str, path: str) -> None:
    told = faults(of(written) + "  web2: {image: x, x-hosts: [one]}\n")
    assert [each.split(": ")[0] for each in told] == [f"services.web.{path}"]


# ---- What was accepted, or told without what helps


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("volumes: ['/a:/b:ro,rw']", "volumes[0]: '/a:/b:ro,rw' has two modes of one kind"),
        ("volumes: ['/a:/b:z,Z']", "volumes[0]: '/a:/b:z,Z' has two modes of one kind"),
        ("hostname: a..b", "hostname: 'a..b' is not a host name"),
        ("environment: {A: 'x {{.Service.Name'}", "environment.A: a placeholder has no end"),
        ("environment: {A: '{{.Service.Name}} {{ .Task.Slot }'}", "environment.A: a placeholder has no end"),
        ("ports: ['::1:2000:3000']", "ports[0]: '::1:2000:3000' is not a port"),
    ],
)
def test_a_slip_is_refused_at_its_place(written: str, told: str) -> None:
    assert faults(of(f"{PLACED}, {written}")) == [f"services.web.{told}"]


def test_an_address_before_a_port_that_is_none_of_the_host_is_named() -> None:
    with pytest.raises(InvalidDocument, match=r"'foo' is not an IPv4 address of the host"):
        parse(of(f"{PLACED}, ports: ['foo:2000:3000']"))


def test_a_letter_that_only_looks_like_another_is_named_by_its_code() -> None:
    with pytest.raises(InvalidDocument, match=r"did you mean 'hostname'\? \('о' is U\+043E\)"):  # noqa: RUF001
        parse(of(f"{PLACED}, hоstname: a"))  # noqa: RUF001


@pytest.mark.parametrize(("written", "nano"), [(".5", 5), ("0.5", 5), ("5e-1", 5), ("1.", 10), ("'.5'", 5)])
def test_numbers_are_those_of_yaml_1_2(written: str, nano: int) -> None:
    assert spec(of(f"{PLACED}, cpus: {written}")).nano_cpus == nano * 10**8


def test_an_overlay_with_too_few_addresses_earns_a_warning() -> None:
    networks = "networks: {small: {ipam: {config: [{subnet: 10.9.0.0/29}]}}}\n"
    (told,) = [each for each in warnings(parse(of("scale: 8", networks=networks))) if "small" in each]
    assert told.startswith("network small: 10.9.0.0/29 has 5 free addresses of 10 needed")
    assert not [each for each in warnings(parse(of("scale: 3", networks=networks))) if "small" in each]


@pytest.mark.parametrize("external", ["{}", "{nope: 1}", "{name: ww, nope: 1}", "[name]"])
def test_another_form_of_external_is_a_fault(external: str) -> None:
    told = faults(of(PLACED, networks=f"volumes: {{v: {{external: {external}}}}}\n"))
    assert [each.split(": ")[0] for each in told] == ["volumes.v.external"]


@pytest.mark.parametrize(("driver", "noted"), [("bridge", True), ("overlay", False)])
def test_a_bridge_network_that_is_not_attachable_is_noted(driver: str, noted: bool) -> None:
    text = of(f"{PLACED}, networks: [inner]").replace(
        "networks: {", f"networks: {{own: {{driver: {driver}, attachable: {str(not noted).lower()}}}, "
    )
    assert "own: {driver" in text
    told = "networks.own.attachable: has no effect: every container can join a bridge network"
    assert (told in notes(text)) == noted
