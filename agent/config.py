"""Reads agent.yaml, the settings that an agent needs before it can reach etcd. deploy/agent.yaml explains them."""

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from agent.admission.policy import BASELINE, HostNamespace, Level, Policy, Requirement, Rollback, level_policy
from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from agent.model.intent import HOST_NAME
from agent.model.steps import LEADER_BUDGET_S
from agent.model.store import SessionSettings, StoreSettings, settings_faults, timing_faults
from agent.yamldoc import Cursor, Fields, Reader, open_document, readers
from agent.yamldoc.faultlist import quoted

T = TypeVar("T")
LogLevel = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["auto", "console", "json", "journal"]

STATE_DIRECTORY = "/var/lib/swarmkeeper"
"""Directory of the last accepted document, assignment and specs, for a boot without etcd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerSettings:
    """The address of dockerd, and the timeout of its answers."""

    url: str = "unix:///run/docker.sock"
    timeout_s: float = 30.0
    registry_config: str | None = None
    """Path of a file in the form of Docker's config.json, with credentials for registries; None for none."""
    output_lines: int = 5
    """Last lines of output that `status` shows of a replica that keeps failing; 0 shows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmSettings:
    advertise_address: str | None = None
    """Address of this host for the swarm; None for the one that the intent declares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    key_file: str | None = None
    """Path of the sealing key; None leaves join tokens in etcd unsealed."""
    accept_unsealed: bool = False
    """True while not every host has the key yet: this host also joins by tokens that are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings:
    """Intervals, parallelism and backoff of the loop."""

    resync_s: float = 30.0
    settle_s: float = 0.02
    """Wait after a wake-up, which gathers a burst into one pass."""
    workers: int = 8
    pulls: int = 3
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The listener of /metrics, /healthz, /readyz and /status."""

    listen: str = "127.0.0.1:9477"
    web_config: str | None = None
    """Path of a file with the users and certificates of the listener; None for plain HTTP without a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    level: LogLevel = "info"
    format: LogFormat = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of agent.yaml, with defaults."""

    cluster: str
    host: str
    store: StoreSettings
    docker: DockerSettings = DockerSettings()
    swarm: SwarmSettings = SwarmSettings()
    tokens: TokenSettings = TokenSettings()
    session: SessionSettings = field(default_factory=SessionSettings)
    reconcile: ReconcileSettings = ReconcileSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    admission: Policy = BASELINE
    state_directory: str = STATE_DIRECTORY


def load_config(path: Path) -> Config:
    """Return the settings in the file at `path`. Raises as `read_file` does."""
    return read_file(path, _read)


def read_file(path: Path, read: Callable[[Cursor], T]) -> T:
    """Return what `read` makes of the file at `path`.

    Raises InvalidDocument with every fault; Invalid if the file cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return read(open_document(raw))
    except InvalidDocument as error:
        raise InvalidDocument(error.faults, source=str(path)) from None


@readers.after(readers.text)
def _absolute(cursor: Cursor, value: str) -> str | None:
    if value.startswith("/"):
        return value
    cursor.fault(f"{cursor.shown} is a relative path", "begin it with /")
    return None


@readers.after(_absolute)
def _file(cursor: Cursor, path: str) -> str | None:
    if not Path(path).is_file():
        cursor.fault(f"the file {cursor.shown} does not exist", "write the path of one that does")
        return None
    if not os.access(path, os.R_OK):
        remedy = "let the agent's account read it"
        cursor.fault(f"the file {cursor.shown} cannot be read", remedy)
        return None
    return path


@readers.after(readers.text)
def _named_file(cursor: Cursor, value: str) -> str | None:
    """Read the path of a file that contains a secret. A value that is not a path may be the secret itself."""
    if value.startswith("/"):
        return _file(cursor)
    remedy = "write the path of a file that contains the secret; begin it with /"
    cursor.hidden().fault("this value is not an absolute path", remedy)
    return None


@readers.after(_named_file)
def _secret_file(cursor: Cursor, path: str) -> str | None:
    if Path(path).stat().st_mode & 0o007:
        cursor.fault(f"every account can read or change the file {cursor.shown}", "chmod it to 0640 or 0600")
    return path


@readers.after(readers.text)
def _endpoint(cursor: Cursor, value: str) -> str | None:
    if "@" in value:
        remedy = "write them as user and password_file"
        cursor.hidden().fault("an endpoint cannot contain a user and a password", remedy)
        return None
    return value


_LISTEN = readers.matching(
    r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,39}\]):[0-9]{1,5}", "an address and port", "127.0.0.1:9477"
)
_URL = readers.matching(
    r"unix:///[^\s]+|(?:tcp|https?)://[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}",
    "an engine's address",
    "unix:///run/docker.sock",
)
CLUSTER_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
CLUSTER_NAME_RULE = "a name: letters, digits, _ . and -, 63 characters at most"
_NAME = readers.matching(CLUSTER_NAME, CLUSTER_NAME_RULE, "prod")
_HOST = readers.matching(HOST_NAME, "a host name: letters, digits, . and -, 63 characters at most", "node-1")

_distinct = partial(readers.sequence_of, distinct=True)
_LISTED = (
    "devices", "device_cgroup_rules", "security_opt", "sysctls", "runtimes", "cgroup_parents", "annotations",
    "volume_drivers", "volume_types", "host_addresses", "logging_drivers", "registries",
)  # fmt: skip
"""Options of `admission` with a list of any words."""
_CAPABILITY = readers.matching(r"(?!CAP_)[A-Z_]+|\*", "a capability without CAP_", "NET_ADMIN, or *")
_BIND = readers.matching(r"/[^:]*(?::ro)?", "an absolute path, or one with :ro", "/srv/data:ro")
_PATH = readers.matching(r"/[^:]*", "an absolute path", "/srv/data")
_PORTS = readers.matching(r"\*|[0-9]{1,5}(?:-[0-9]{1,5})?", "a port", "8080, 8000-8099 or *")

_DAY_S = 86400.0

OPTIONS: dict[str, dict[str, tuple[str, Reader[Any]]]] = {
    "etcd": {
        "endpoints": ("endpoints", readers.sequence_of(_endpoint, not_empty=True, distinct=True)),
        "ca_file": ("ca_file", _file),
        "cert_file": ("cert_file", _file),
        "key_file": ("key_file", _secret_file),
        "user": ("user", readers.text),
        "password_file": ("password_file", _secret_file),
        "allow_plaintext_password": ("allow_plaintext_password", readers.boolean),
        "timeout": ("timeout_s", readers.duration(0.1, 60.0)),
        "budget": ("budget_s", readers.duration(0.1, 600.0)),
    },
    "docker": {
        "url": ("url", _URL),
        "timeout": ("timeout_s", readers.duration(1.0, 600.0)),
        "registry_config": ("registry_config", _secret_file),
        "output_lines": ("output_lines", readers.integer(0, 20)),
    },
    "swarm": {"advertise_address": ("advertise_address", readers.derived(readers.address, str))},
    "tokens": {
        "key_file": ("key_file", _secret_file),
        "accept_unsealed": ("accept_unsealed", readers.boolean),
    },
    "session": {
        "ttl": ("ttl_s", readers.duration(1.0, _DAY_S)),
        "interval": ("interval_s", readers.duration(0.1, _DAY_S)),
        "timeout": ("timeout_s", readers.duration(0.1, _DAY_S)),
        "margin": ("margin_s", readers.duration(0.1, _DAY_S)),
    },
    "reconcile": {
        "resync": ("resync_s", readers.duration(1.0, _DAY_S)),
        "settle": ("settle_s", readers.duration(0.0, 10.0)),
        "workers": ("workers", readers.integer(1, 64)),
        "pulls": ("pulls", readers.integer(1, 16)),
        "backoff_min": ("backoff_min_s", readers.duration(0.1, 3600.0)),
        "backoff_max": ("backoff_max_s", readers.duration(0.1, 3600.0)),
    },
    "http": {"listen": ("listen", _LISTEN), "web_config": ("web_config", _secret_file)},
    "log": {
        "level": ("level", readers.choice(get_args(LogLevel))),
        "format": ("format", readers.choice(get_args(LogFormat))),
    },
    "admission": {
        "level": ("level", readers.choice(get_args(Level))),
        "privileged": ("privileged", readers.boolean),
        "gpus": ("gpus", readers.boolean),
        "host_namespaces": ("host_namespaces", _distinct(readers.choice(get_args(HostNamespace)))),
        "capabilities": ("capabilities", _distinct(_CAPABILITY)),
        "binds": ("binds", _distinct(_BIND)),
        "files": ("files", _distinct(_PATH)),
        "host_ports": ("host_ports", _distinct(_PORTS)),
        **{each: (each, _distinct(readers.text)) for each in _LISTED},
        "require": ("require", _distinct(readers.choice(get_args(Requirement)))),
        "max_memory": ("max_memory_bytes", readers.size(1)),
        "max_replicas": ("max_replicas", readers.integer(0, 100_000)),
        "max_pids": ("max_pids", readers.integer(1, 4_194_304)),
        "rollback": ("rollback", readers.choice(get_args(Rollback))),
    },
}
"""(field of the section's settings, reader) by section and option."""

TOP_OPTIONS = ("cluster", "host", "state_directory")


def _read(root: Cursor) -> Config:
    fields = root.fields((*TOP_OPTIONS, *OPTIONS))
    cluster = fields.require("cluster", _NAME, "name the cluster: its keys are under /swarmkeeper/<cluster>/")
    host = fields.read("host", _HOST) if "host" in fields else _own_name(root)
    directory = fields.read("state_directory", _absolute) or STATE_DIRECTORY
    config = Config(
        cluster=cluster or "",
        host=host or "",
        store=StoreSettings(**{"endpoints": (), **_section(fields, "etcd", _check_store)}),
        session=SessionSettings(**_section(fields, "session", _check_timings)),
        reconcile=ReconcileSettings(**_section(fields, "reconcile", _check_backoff)),
        docker=DockerSettings(**_section(fields, "docker")),
        swarm=SwarmSettings(**_section(fields, "swarm")),
        tokens=TokenSettings(**_section(fields, "tokens")),
        http=HttpSettings(**_section(fields, "http")),
        log=LogSettings(**_section(fields, "log")),
        state_directory=directory,
    )
    admission = _section(fields, "admission")
    root.faults.raise_if_any()
    base = level_policy(admission.get("level", "baseline"), protected=tuple(sorted(_secret_paths(config))))
    return replace(config, admission=replace(base, **admission))


def _secret_paths(config: Config) -> set[str]:
    """Return the paths of this host with which a container could become root, or the cluster."""
    store, socket_path = config.store, config.docker.url.removeprefix("unix://")
    files = (store.key_file, store.password_file, config.tokens.key_file, config.docker.registry_config)
    more = (config.state_directory, config.http.web_config, *files, socket_path)
    return {each for each in more if each and each.startswith("/")}


def _own_name(root: Cursor) -> str | None:
    name = socket.gethostname()
    if re.fullmatch(HOST_NAME, name):
        return name
    problem = f"the hostname of this machine, {quoted(name)}, is not a valid host name"
    root.hidden().fault(problem, "write a name with host:")
    return None


_EXPLAINED = "change one of them, as the comments in the packaged agent.yaml explain"

Options = dict[str, Any]
Check = Callable[[Options], tuple[str, ...]]


def _section(fields: Fields, section: str, check: Check | None = None) -> Options:
    """Return the options of a section. `check` checks them together if none has a fault.

    A section whose options are all commented out has no value and counts as absent.
    """
    options, place, before = OPTIONS[section], fields.at(section), len(fields.cursor.faults)
    found: Options = {}
    if place is not None and not place.is_null:
        # A key or a password in the place of its section must not appear in a fault.
        inner = (place if place.is_mapping else place.hidden()).fields(options)
        read = {field: inner.read(key, reader) for key, (field, reader) in options.items()}
        found = {field: value for field, value in read.items() if value is not None}
    if check is not None and len(fields.cursor.faults) == before and fields.cursor.is_mapping:
        for problem in check(found):
            (place or fields.cursor).hidden().fault(problem, _EXPLAINED)
    return found


def _check_store(options: Options) -> tuple[str, ...]:
    return settings_faults(StoreSettings(**{"endpoints": (), **options}))


def _check_timings(options: Options) -> tuple[str, ...]:
    settings = SessionSettings(**options)
    faults = timing_faults(settings)
    # A leader begins no step that the lease might not outlast.
    need, have = settings.interval_s + LEADER_BUDGET_S, settings.ttl_s - settings.margin_s
    if need > have:
        step = f"the {LEADER_BUDGET_S:g} s of a leader's step"
        faults += (f"interval + {step} ({need:g} s) must not be more than ttl - margin ({have:g} s)",)
    return faults


def _check_backoff(options: Options) -> tuple[str, ...]:
    settings = ReconcileSettings(**options)
    low, high = settings.backoff_min_s, settings.backoff_max_s
    return (f"backoff_min ({low:g} s) is above backoff_max ({high:g} s)",) if low > high else ()
