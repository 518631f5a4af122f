"""Compose files as people write them, from a seed: every construct of the reference, in each of its forms."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

SERVICES = ("web", "db", "queue")
LAST = {"image": "last", "healthcheck": {"test": "true"}}
"""The service that others depend on."""
NETWORKS = ("front", "back")
VOLUMES = ("data", "logs")
VARIABLES = ("TAG", "PORT", "EMPTY", "LEVEL", "NOBODY")
DOTENV = "TAG=1.2\nPORT=8081\nEMPTY=\nLEVEL='warn'\nQUOTED=\"a ${TAG} b\"  # a comment\nexport EXPORTED=e\n"
CONF = "level: $LEVEL\n\tnot: ${TAG:-a variable} $$\n"
ENV_FILE = "FROM_FILE=1\nTAGGED=${TAG}\nPLAIN='$TAG'\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one project by name; those of Compose in `compose`, in order."""

    compose: tuple[str, ...]
    texts: dict[str, str] = field(default_factory=dict)


def generate(seed: int) -> Files:
    """Return one to three Compose files, a `.env` and an env file. Equal seeds give equal files."""
    dice = Random(seed)
    names = tuple(f"{number}.yaml" for number in range(dice.choice([1, 1, 2, 2, 3])))
    texts = {name: json.dumps(_file(dice, first=name == names[0]), indent=1) for name in names}
    return Files(compose=names, texts={**texts, ".env": DOTENV, "app.env": ENV_FILE, "conf.txt": CONF})


def _file(dice: Random, *, first: bool) -> dict[str, Any]:
    services = SERVICES if first else dice.sample(SERVICES, dice.randint(1, 2))
    made: dict[str, Any] = {"services": {name: _service(dice, first=first) for name in services}}
    if first:
        made["services"]["last"] = LAST
        made |= {"networks": {name: _network(dice, number) for number, name in enumerate(NETWORKS)}}
        made |= {
            "volumes": {name: dice.choice([None, {}, {"labels": _pairs(dice, "v")}]) for name in VOLUMES}
        }
        made |= {"configs": {"conf": {"file": "./conf.txt"}}, "secrets": {"key": {"file": "/etc/key"}}}
        if dice.random() < 0.5:
            made["version"] = "3.8"
    return made


def _network(dice: Random, number: int) -> Any:
    subnet = {"subnet": f"10.{20 + number}.0.0/16"}
    return dice.choice(
        [None, {}, {"ipam": {"driver": "default", "config": [subnet]}}, {"labels": _pairs(dice, "n")}]
    )


def _service(dice: Random, *, first: bool) -> dict[str, Any]:
    keys = dice.sample(sorted(KEYS), dice.randint(1, 9))
    if "deploy" in keys:
        keys = [key for key in keys if key not in ("mem_limit", "restart", "pids_limit", "scale")]
    made = {key: KEYS[key](dice) for key in keys}
    if first:
        made["image"] = dice.choice(
            ["nginx:1.25", "redis", "${REGISTRY:-reg.example:5000}/team/app:${TAG}", "app:$TAG"]
        )
    return made


def _text(dice: Random) -> str:
    return dice.choice(
        [
            "plain", "two words", "a: b", "#no", "$TAG", "${TAG}", "${NOBODY:-def}", "${EMPTY-def}", "${EMPTY:-def}",
            "${TAG:+set}", "${NOBODY+set}", "${NOBODY:-${TAG}}", "$$TAG", "cost $$5", "x${TAG}y$PORT",
            "it's", 'say "x"',
            "null", "true", "1.10", "ünï", "${TAG:?needed}", "",
        ]
    )  # fmt: skip


def _pairs(dice: Random, prefix: str = "K") -> Any:
    names = [f"{prefix}{number}" for number in dice.sample(range(5), dice.randint(1, 3))]
    if dice.random() < 0.5:
        return {name: dice.choice([_text(dice), dice.randint(0, 99), True]) for name in names}
    return [f"{name}={_text(dice)}" for name in names]


def _environment(dice: Random) -> Any:
    found = _pairs(dice)
    bare = dice.choice(VARIABLES)
    return [*found, bare] if isinstance(found, list) else {**found, bare: None}


def _command(dice: Random) -> Any:
    return dice.choice(
        [["run", _text(dice), "--x=1"], "run --level=${LEVEL} 'one word'", 'sh -c "echo $$HOME"', None]
    )


def _port(dice: Random) -> Any:
    inner = dice.randint(1, 500) * 100
    outer = dice.randint(1, 60) * 1000
    return dice.choice(
        [
            f"{outer}:{inner}", f"127.0.0.1:{outer}:{inner}/udp", f"{outer}-{outer + 1}:{inner}-{inner + 1}",
            "${PORT}:80", {"target": inner, "published": str(outer)},
            {"target": inner, "published": outer, "protocol": "udp", "mode": "host", "host_ip": "10.0.0.1"},
            {"target": inner, "published": outer, "mode": "ingress"},
        ]
    )  # fmt: skip


def _mount(dice: Random) -> Any:
    target = f"/in/{dice.randint(1, 999)}"
    return dice.choice(
        [
            f"data:{target}", f"logs:{target}:ro", f"./html:{target}", f"/srv/x:{target}:ro", f"../up/./y:{target}",
            f"data:{target}:z", f"/srv/x:{target}:z", {"type": "volume", "source": "data", "target": target},
            {"type": "bind", "source": "./html", "target": target, "read_only": True}, f"/srv/x:{target}:cached",
            {"type": "tmpfs", "target": target, "tmpfs": {"size": "64m"}}, f"{target}/anonymous",
            {"type": "volume", "source": "logs", "target": target, "volume": {"nocopy": True}},
        ]
    )  # fmt: skip


def _some(make: Any, most: int = 3) -> Any:
    return lambda dice: list(
        {json.dumps(each): each for each in (make(dice) for _ in range(dice.randint(1, most)))}.values()
    )


def _one(*values: Any) -> Any:
    return lambda dice: dice.choice(values)


def _depends(dice: Random) -> Any:
    return dice.choice(
        [["last"], {"last": {"condition": "service_healthy"}}, {"last": {"condition": "service_started"}}]
    )


KEYS: dict[str, Any] = {
    "command": _command,
    "entrypoint": _one(["/run"], "/run now", None),
    "environment": _environment,
    "env_file": _one("app.env", ["app.env"], [{"path": "app.env"}, {"path": "no.env", "required": False}]),
    "labels": lambda dice: _pairs(dice, "l"),
    "annotations": lambda dice: _pairs(dice, "a"),
    "ports": _some(_port, 2),
    "expose": _one(["80"], [80, "90/udp"]),
    "volumes": _some(_mount),
    "networks": _one(["front"], ["front", "back"], {"front": {"aliases": ["z"]}}, {"back": None, "front": {}}),
    "restart": _one("always", "no", "on-failure:3", "unless-stopped"),
    "healthcheck": _one(
        {"test": "curl localhost", "interval": "10s"}, {"test": ["CMD", "a"], "timeout": "1m30s", "retries": 3},
        {"disable": True}, {"test": ["CMD-SHELL", "x || exit 1"], "start_period": "500ms"},
    ),
    "stop_signal": _one("SIGINT", "TERM"),
    "stop_grace_period": _one("5s", "1m30s", "1h"),
    "user": _one("1000", "www:www"),
    "group_add": _one(["1", "users"]),
    "working_dir": _one("/app"),
    "hostname": _one("h", "${TAG:+named}"),
    "read_only": _one(True, False),
    "init": _one(True),
    "tty": _one(True, "${NOBODY:-false}"),
    "cap_add": _one(["NET_ADMIN"], ["SYS_TIME", "CHOWN"]),
    "cap_drop": _one(["ALL"]),
    "ulimits": _one({"nofile": 1000}, {"nofile": {"soft": 50, "hard": 60}, "nproc": 99}),
    "sysctls": _one({"net.core.somaxconn": 1024}, ["net.core.somaxconn=${NOBODY:-512}"]),
    "shm_size": _one("64m", "1gb", 1048576),
    "tmpfs": _one("/run", ["/run", "/tmp:size=64m"]),
    "dns": _one("1.1.1.1", ["1.1.1.1", "8.8.8.8"]),
    "dns_search": _one("example.com", ["a.example", "b.example"]),
    "extra_hosts": _one(["h:1.1.1.1"], {"h": "2.2.2.2", "g": "3.3.3.3"}, ["h=4.4.4.4"]),
    "logging": _one({"driver": "json-file", "options": {"max-size": "1m"}}, {"driver": "local"}),
    "devices": _one(["/dev/null:/dev/x"], ["/dev/null"]),
    "mem_limit": _one("128m", "${NOBODY:-256m}"),
    "cpus": _one(0.5, "1.5", "${NOBODY:-2}"),
    "pids_limit": _one(100),
    "depends_on": _depends,
    "configs": _one(["conf"], [{"source": "conf", "target": "/etc/conf"}]),
    "secrets": _one(["key"], [{"source": "key", "target": "other"}]),
    "x-own": _one({"any": ["thing"]}),
    "scale": _one(2),
    "deploy": _one(
        {"replicas": 2}, {"mode": "global"}, {"labels": {"a": "b"}, "endpoint_mode": "vip"},
        {"update_config": {"parallelism": 2, "delay": "5s", "order": "start-first"}},
        {"resources": {"limits": {"memory": "64M", "pids": 50}}},
        {"restart_policy": {"condition": "on-failure", "max_attempts": 3}},
        {"placement": {"constraints": ["node.role == manager"], "preferences": [{"spread": "node.labels.zone"}]}},
    ),
}  # fmt: skip
