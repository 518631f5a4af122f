"""Options of networks have types: every spelling of a value is one value, and an impossible one is refused."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from agent.diff.bridge import docker_differences
from agent.diff.networks import local_differences, overlay_differences
from agent.intent import warnings
from agent.model.host_state import NetworkState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent
from tests.unit.intent.documents import CLUSTER, faults, parse

ICC = "com.docker.network.bridge.enable_icc"
MTU = "com.docker.network.driver.mtu"
SUBNET = IPv4Network("10.20.0.0/16")
FOUND = NetworkState(
    id="n",
    name="net",
    driver="bridge",
    scope="local",
    subnet=SUBNET,
    gateway="10.20.0.1",
    attachable=True,
    internal=False,
)


def _document(options: str, driver: str = "bridge", gwbridge: str = "{}") -> str:
    cluster = CLUSTER.replace("172.21.0.0/20}", f"172.21.0.0/20, driver_opts: {gwbridge}}}")
    return f"{cluster}networks: {{net: {{driver: {driver}, driver_opts: {options}}}}}\nservices: {{}}\n"


def _options(text: str) -> dict[str, str]:
    (network,) = parse(text).networks
    return dict(network.options)


@pytest.mark.parametrize("written", ["true", '"true"', "True", '"1"', "T"])
def test_a_boolean_is_one_value_in_every_spelling(written: str) -> None:
    assert _options(_document(f"{{{ICC}: {written}}}")) == {ICC: "true"}


@pytest.mark.parametrize("written", ['""', '"true"', "1", "~"])
def test_an_option_that_is_only_looked_for_has_no_value(written: str) -> None:
    assert _options(_document(f"{{encrypted: {written}}}", "overlay")) == {"encrypted": ""}


@pytest.mark.parametrize("found", ["False", "0", "false"])
def test_a_bridge_that_was_made_with_another_spelling_is_not_changed(found: str) -> None:
    wanted = NetworkIntent(key="net", name="net", driver="bridge", subnet=SUBNET, options=((ICC, "false"),))
    assert local_differences(wanted, replace(FOUND, options=((ICC, found),))) == ()

    bridge = BridgeIntent(subnet=SUBNET, gateway=IPv4Address("10.20.0.1"), options=((ICC, "false"),))
    assert docker_differences(bridge, replace(FOUND, name=GWBRIDGE, options=((ICC, found),))) == ()
    assert docker_differences(bridge, replace(FOUND, name=GWBRIDGE, options=((ICC, "true"),)))


def test_an_overlay_is_encrypted_whatever_the_value_says() -> None:
    wanted = NetworkIntent(key="ov", name="ov", driver="overlay", options=(("encrypted", ""),))
    found = replace(FOUND, driver="overlay", options=(("encrypted", "true"),))
    assert overlay_differences(wanted, found) == ()
    assert overlay_differences(replace(wanted, options=()), found)


@pytest.mark.parametrize(
    ("driver", "option", "says"),
    [
        ("bridge", f"{ICC}: maybe", f"['{ICC}']: 'maybe' is not true or false"),
        ("overlay", f"{MTU}: big", f"['{MTU}']: 'big' is not an MTU"),
        ("overlay", f"{MTU}: 67", f"['{MTU}']: '67' is not an MTU"),
        ("overlay", f"{MTU}: 65536", f"['{MTU}']: '65536' is not an MTU"),
        ("overlay", 'encrypted: "false"', ".encrypted: encrypts, whatever its value is"),
        ("overlay", "encrypted: maybe", ".encrypted: 'maybe' is not a value of this option"),
        (
            "bridge",
            "com.docker.network.bridge.host_binding_ipv4: here",
            "['com.docker.network.bridge.host_binding_ipv4']: 'here' is not an IPv4 address",
        ),
        (
            "bridge",
            "com.docker.network.bridge.name: a/b",
            "['com.docker.network.bridge.name']: 'a/b' is not the name of a device",
        ),
        ("bridge", "com.docker.network.bridge.name: docker0", ": names the device of Docker's own bridge"),
        (
            "bridge",
            "com.docker.network.bridge.default_bridge: true",
            "['com.docker.network.bridge.default_bridge']: is the option of Docker's own bridge",
        ),
        (
            "overlay",
            "com.docker.network.driver.overlay.vxlanid_list: x",
            "['com.docker.network.driver.overlay.vxlanid_list']: 'x' is not a list of numbers",
        ),
    ],
)
def test_a_value_that_the_driver_does_not_understand_is_refused(driver: str, option: str, says: str) -> None:
    assert faults(_document(f"{{{option}}}", driver)) == [f"networks.net.driver_opts{says}"]


def test_the_options_of_the_gateway_bridge_have_types_too() -> None:
    assert faults(_document("{}", gwbridge=f"{{{MTU}: bogus}}")) == [
        f"x-cluster.gwbridge.driver_opts['{MTU}']: 'bogus' is not an MTU"
    ]
    bridge = parse(_document("{}", gwbridge=f"{{{ICC}: 'True', {MTU}: '01400'}}")).gwbridge
    assert {**dict(bridge.options), ICC: "true", MTU: "1400"} == dict(bridge.options)


def test_an_option_that_its_driver_ignores_is_warned_of() -> None:
    misspelled = _document("{com.docker.network.bridge.nmae: x, com.example.plugin: x}")
    (said,) = [each for each in warnings(parse(misspelled)) if "option" in each]
    assert said.endswith("and a driver ignores it: did you mean com.docker.network.bridge.name?")
    (other,) = [
        each for each in warnings(parse(_document(f"{{{ICC}: true}}", "overlay"))) if "option" in each
    ]
    assert other == f"network net: the option {ICC} has no effect on a network of driver overlay"


def test_the_name_of_a_volume_has_two_characters() -> None:
    text = f"{CLUSTER}volumes: {{data: {{name: v}}}}\nservices: {{}}\n"
    assert faults(text) == ["volumes.data.name: 'v' is too short for a volume"]
    assert faults(text.replace("name: v", "name: vv")) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("{type: nfs, o: addr=10.0.0.1, device: ':/x'}", ""),
        ("{size: 1g}", ""),
        ("{typ: nfs}", ".typ: the driver local has no option 'typ'"),
        ("{type: nfs}", ": the driver local needs the option 'device' too"),
        ("{o: bind, device: /x}", ": the driver local needs the option 'type' too"),
    ],
)
def test_options_of_a_local_volume_are_those_that_the_driver_takes(options: str, problem: str) -> None:
    text = f"{CLUSTER}volumes: {{data: {{driver_opts: {options}}}}}\nservices: {{}}\n"
    assert faults(text) == ([f"volumes.data.driver_opts{problem}"] if problem else [])
