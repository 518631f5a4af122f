"""Reads kernel settings of a replica: those of the namespaces that it has for itself, with values of their form."""

import re

from agent.intent.values import pairs
from agent.model.spec import Pairs
from agent.yamldoc import Cursor, Fields
from agent.yamldoc.readers import after

_IPC = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shm_rmid_forced", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni",
)  # fmt: skip
_UTS = "kernel.domainname"
_HOSTNAME = "kernel.hostname"
_QUEUES, _NETWORK = "fs.mqueue.", "net."
_NAME = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_:@-]+)+", re.ASCII)
_NUMBER = r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})"
_NUMBERS = re.compile(rf"{_NUMBER}(?:[ \t,-]+{_NUMBER}){{0,200}}", re.ASCII)
_NO_NUMBERS = (
    "tcp_congestion_control", "tcp_allowed_congestion_control", "tcp_fastopen_key", "default_qdisc", "stable_secret",
    "path_manager", "scheduler", "cookie_hmac_alg", "rps_default_mask", "flow_limit_cpu_bitmap", "est_cpulist",
)  # fmt: skip
"""Last parts of the names of settings that are not numbers."""
_LOGGERS = ".nf_log."
_SIGNED, _UNSIGNED = 1 << 31, 1 << 64


@after(pairs(without_value=("has no value", "write a value")))
def sysctls(cursor: Cursor, found: Pairs) -> Pairs | None:
    """Read settings by name, in the spelling with dots."""
    good = [_is_good(cursor.at(name), name, value) for name, value in found]
    return found if all(good) else None


def _is_good(place: Cursor, name: str, value: str) -> bool:
    """Return True for a setting of a replica's own namespaces with a possible value; note a fault for another one."""
    if name == _HOSTNAME:
        place.fault(f"'{name}' is not set here", "use hostname")
    elif not (name in (*_IPC, _UTS) or name.startswith((_QUEUES, _NETWORK))):
        own = "a replica has its own net.*, fs.mqueue.* and kernel.shm*, msg*, sem"
        remedy = place.guess(name, (*_IPC, _UTS)) or f"set it on the host; {own}"
        place.fault(f"'{name[:60]}' is a setting of the whole host", remedy)
    elif not _NAME.fullmatch(name):
        place.fault(f"'{name[:60]}' is not a setting", "write for example net.core.somaxconn")
    elif not value.strip():
        place.fault("is empty, and the kernel ignores that", "write a value, or remove the key")
    elif _is_text(name):
        return True
    elif not _NUMBERS.fullmatch(value.strip()):
        place.fault(f"'{value[:60]}' is not a number", f"write the value that sysctl {name} shows on a host")
    elif not all(_fits(each, name) for each in re.findall(r"(?<![0-9])-?[0-9]+", value)):
        place.fault(f"'{value[:60]}' does not fit into a setting of the kernel", "write a smaller number")
    else:
        return True
    return False


def _is_text(name: str) -> bool:
    return name == _UTS or _LOGGERS in name or name.rpartition(".")[2] in _NO_NUMBERS


def _fits(number: str, name: str) -> bool:
    highest = 2 * _SIGNED if name.startswith(_NETWORK) else _UNSIGNED
    return -_SIGNED <= int(number) < highest


def check_namespaces(fields: Fields, found: Pairs, shared: frozenset[str]) -> None:
    """Note a fault for each setting of a namespace that the replica shares with its host: network, ipc or uts."""
    for name, _ in found:
        if (namespace := _namespace(name)) in shared:
            key = "network_mode" if namespace == "network" else namespace
            problem = f"'{name}' cannot be set beside {key}: host, because it is the host's own"
            fields.cursor.at("sysctls", name).conflict(problem, "set it on the host")


def _namespace(name: str) -> str:
    if name.startswith(_NETWORK):
        return "network"
    return "uts" if name == _UTS else "ipc"
