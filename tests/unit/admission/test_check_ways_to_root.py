"""Documents with which a container could be root on its host: each is faulty, or `baseline` refuses it."""

import re
from typing import Any

import pytest

from agent.admission import Gate
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from tests.support.document import EXAMPLE, document

LINKS = {"/srv/link": "/etc", "/srv/sock": "/run/docker.sock"}


def volume(**options: str) -> dict[str, Any]:
    return {"order": {"volumes": ["vol:/v"]}, "volumes": {"vol": {"driver_opts": options}}}


def order(**keys: Any) -> dict[str, Any]:
    return {"order": keys}


def secret(path: str) -> dict[str, Any]:
    return {"order": {"secrets": ["k"]}, "secrets": {"k": {"file": path}}}


def long(**keys: Any) -> dict[str, Any]:
    return order(volumes=[{"type": "bind", "target": "/in", **keys}])


SYSLOG = {"driver": "syslog", "options": {"syslog-address": "unix:///run/docker.sock"}}
FLUENTD = {"driver": "fluentd", "options": {"fluentd-address": "unix:///run/docker.sock"}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # volumes that are binds
    "bind in o": (volume(type="none", o="bind", device="/"), "bind of /"),
    "rbind after others": (volume(type="none", o="rw,nosuid,rbind", device="/"), "bind of /"),
    "bind with a type that the kernel ignores": (volume(type="nfs", o="addr=x,bind", device="/etc"), "bind of /etc"),
    "bind of a tmpfs": (volume(type="tmpfs", o="bind", device="/etc"), "bind of /etc"),
    "device with ..": (volume(type="none", o="bind", device="/srv/../etc"), "bind of /srv/../etc"),
    "device with .. behind a link": (volume(type="none", o="bind", device="/srv/a/l/.."), "write the path without .."),
    "device without /": (volume(type="none", o="bind", device="srv/a"), "bind of srv/a"),
    "device is a link": (volume(type="none", o="bind", device="/srv/link"), "it is a link to /etc"),
    "bind in capitals": (volume(type="NONE", o="BIND", device="/"), "volume_types"),
    "bind after a space": (volume(type="none", o=" bind", device="/"), "volume_types"),
    "block device": (volume(type="ext4", device="/dev/sda1"), "volume_types"),
    "overlay": (volume(type="overlay", o="lowerdir=/", device="overlay"), "volume_types"),
    "proc": (volume(type="proc", device="proc"), "volume_types"),
    "9p": (volume(type="9p", device="/", o="trans=fd"), "volume_types"),
    "another driver": ({"order": {"volumes": ["vol:/v"]}, "volumes": {"vol": {"driver": "a/b:1"}}}, "volume_drivers"),
    # binds
    "root": (order(volumes=["/:/host"]), "bind of /"),
    "/proc": (order(volumes=["/proc/1/root:/in"]), "bind of /proc/1/root"),
    "/sys": (order(volumes=["/sys/fs/cgroup:/in"]), "bind of /sys/fs/cgroup"),
    "/dev": (long(source="/dev"), "bind of /dev"),
    "a link": (order(volumes=["/srv/link:/in"]), "it is a link to /etc"),
    "a link to the socket": (order(volumes=["/srv/sock:/in"]), "it is a link to /run/docker.sock"),
    "beside an entry": (order(volumes=["/srvx:/in"]), "bind of /srvx"),
    "the clock, with a label": (order(volumes=["/etc/localtime:/in:ro,Z"]), "bind of /etc/localtime"),
    "shared": (long(source="/var/lib", bind={"propagation": "rshared"}), "bind of /var/lib"),
    "inside another": (order(volumes=["/srv:/a", "/srv/x:/b"]), "writes to /srv above it"),
    "secret": (secret("/etc/shadow"), "bind of /etc/shadow"),
    "secret of the agent": (secret("/etc/swarmkeeper/tokens.key"), "bind of /etc/swarmkeeper/tokens.key"),
    # rights, namespaces, devices
    "capability": (order(cap_add=["cap_sys_admin"]), "cap_add: SYS_ADMIN"),
    "ALL": (order(cap_add=["all"]), "cap_add: ALL"),
    "seccomp with :": (order(security_opt=["seccomp:unconfined"]), "seccomp=unconfined"),
    "seccomp with =": (order(security_opt=["seccomp=unconfined"]), "seccomp=unconfined"),
    "a profile of its own": (order(security_opt=['seccomp:{"defaultAction":"SCMP_ACT_ALLOW"}']), "seccomp=profile"),
    "apparmor with :": (order(security_opt=["apparmor:unconfined"]), "apparmor=unconfined"),
    "label with :": (order(security_opt=["label:disable"]), "label=disable"),
    "another user of SELinux": (order(security_opt=["label=user:system_u"]), "label=user:system_u"),
    "user namespace": (order(userns_mode="host"), "userns_mode: host"),
    "cgroup": (order(cgroup="host"), "cgroup: host"),
    "cgroup_parent": (order(cgroup_parent="/system.slice"), "cgroup_parent: /system.slice"),
    "uts": (order(uts="host"), "uts: host"),
    "device": (order(devices=["/dev/mem:/dev/x"]), "devices: /dev/mem"),
    "rule": (order(device_cgroup_rules=["a *:* rwm"]), "device_cgroup_rules: a *:* mrw"),
    "gpus": (order(gpus="all"), "gpus: devices"),
    "gpus of a driver": (order(gpus=[{"driver": "cdi", "device_ids": ["x=y"]}]), "gpus: devices"),
    "runtime": (order(runtime="nvidia"), "runtime: nvidia"),
    "annotation": (order(annotations={"run.oci.hooks": "x"}), "annotations: run.oci.hooks"),
    # logging through a socket or with files of the host
    "syslog": (order(logging=SYSLOG), "logging.driver: syslog"),
    "fluentd": (order(logging=FLUENTD), "logging.driver: fluentd"),
    "plugin": (order(logging={"driver": "vendor/plugin:1"}), "logging.driver: vendor/plugin:1"),
}  # fmt: skip

OF_ANOTHER, NO_PATH, NO_DOTS = "namespace of another container", "is not an absolute path", "contains '..'"
FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "network of a container": (order(network_mode="container:stranger", networks=None), OF_ANOTHER),
    "network of a service": (order(network_mode="service:billing", networks=None), OF_ANOTHER),
    "network by path": (order(network_mode="ns:/proc/1/ns/net", networks=None), "is not one of"),
    "docker's own network": (
        {"order": {"networks": {"host": {}}}, "networks": {"host": {"external": True}}},
        "is Docker's own network",
    ),
    "ipc of a container": (order(ipc="container:stranger"), OF_ANOTHER),
    "ipc in capitals": (order(ipc="HOST"), "is not one of"),
    "pid of a container": (order(pid="container:stranger"), OF_ANOTHER),
    "pid of a service": (order(pid="service:billing"), OF_ANOTHER),
    "volumes_from": (order(volumes_from=["container:stranger"]), "'volumes_from' is not supported"),
    "subpath": (
        {
            "order": {
                "volumes": [
                    {"type": "volume", "source": "vol", "target": "/v", "volume": {"subpath": "../.."}}
                ]
            },
            "volumes": {"vol": {}},
        },
        "'subpath' is not supported",
    ),
    "a volume with the name of a path": (
        order(volumes=[{"type": "volume", "source": "/etc", "target": "/v"}]),
        "the volume '/etc' is not declared",
    ),
    "root by ..": (order(volumes=["/srv/../..:/host"]), NO_DOTS),
    "a relative bind": (order(volumes=["../etc:/in"]), "is a relative path"),
    "a bind without /": (long(source="etc"), NO_PATH),
    "a placeholder in a bind": (order(volumes=["{{.Node.Hostname}}/etc:/in"]), "is neither a path nor"),
    "a device by ..": (order(devices=["/dev/net/../mem:/dev/x"]), NO_DOTS),
    "a secret by ..": (secret("/srv/../var/lib/docker/x"), NO_DOTS),
    "a relative secret": (secret("etc/shadow"), NO_PATH),
    "a secret over /proc": (
        {
            "order": {"secrets": [{"source": "k", "target": "/proc/sys/kernel/core_pattern"}]},
            "secrets": {"k": {"file": "/srv/k"}},
        },
        "no container starts without its own /proc",
    ),
    "tmpfs over /proc": (order(tmpfs=["/proc/sys"]), "no container starts without its own /proc"),
    "tmpfs over /sys": (order(tmpfs=["/sys/x"]), "nobody can create that in /sys"),
    "tmpfs that is a bind": (order(tmpfs=["/x:bind"]), "has options that tmpfs does not know"),
    "tmpfs again": (order(tmpfs=["/x:remount"]), "has options that tmpfs does not know"),
    "paths that docker masks": (
        order(security_opt=["systempaths=unconfined"]),
        "'systempaths' is not supported",
    ),
    "a bare disable": (order(security_opt=["disable"]), "is not a security option"),
    "top cgroup": (order(cgroup_parent="/"), "is not a cgroup"),
    "an option of a log file": (
        order(logging={"driver": "json-file", "options": {"path": "/etc/cron.d/x"}}),
        "the driver json-file has no option 'path'",
    ),
    "a label of an agent": (order(labels={"io.swarmkeeper.cluster": "other"}), "reserved for the agent"),
    "credentials": (order(credential_spec={"file": "x"}), "'credential_spec' is not supported"),
    "socket of the engine": (order(use_api_socket=True), "'use_api_socket' is not supported"),
    "hook": (order(post_start=[{"command": "x", "privileged": True}]), "'post_start' is not supported"),
}

HARMLESS: dict[str, dict[str, Any]] = {
    "a placeholder in the environment": order(environment={"PATH": "{{.Node.Hostname}}/x"}),
    "root in the container": order(user="0:0", entrypoint=["/bin/su"]),
    "health check": order(healthcheck={"test": ["CMD", "/proc/1/root/bin/sh"]}),
    "labels of other programs": order(labels={"com.docker.swarm.task": "", "traefik.enable": "true"}),
    "a tmpfs with devices": order(tmpfs=["/x:dev,suid,exec"]),
    "an nfs of the host itself": volume(type="nfs", o="addr=127.0.0.1", device=":/"),
    "siblings": order(volumes=["/srv/a:/a", "/srv/ab:/b"]),
}


def judged(found: dict[str, Any]) -> str:
    """Return what baseline refuses of `order` in the example with these keys."""
    top = {key: each for key, each in found.items() if key not in ("order", "networks")}
    networks = {"networks": found["networks"]} if "networks" in found else {}
    text = document(EXAMPLE, services={"order": found["order"]}, **top, **networks)
    intent = parse_intent(text.encode(), 1)
    service = intent.service("order")
    assert service is not None
    gate = Gate(real_path=lambda path: LINKS.get(path, path))
    return "; ".join(map(str, gate.container(service.spec, intent.volumes)))


@pytest.mark.parametrize(("found", "told"), REFUSED.values(), ids=REFUSED)
def test_baseline_refuses(found: dict[str, Any], told: str) -> None:
    assert told in judged(found)


@pytest.mark.parametrize(("found", "told"), FAULTY.values(), ids=FAULTY)
def test_no_document_declares(found: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidDocument, match=re.escape(told)):
        judged(found)


@pytest.mark.parametrize("found", HARMLESS.values(), ids=HARMLESS)
def test_baseline_admits(found: dict[str, Any]) -> None:
    assert judged(found) == ""
