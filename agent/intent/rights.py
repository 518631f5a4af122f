"""Reads the identity and the rights of a replica's process: user, groups, capabilities, security options."""

import msgspec

from agent.intent.values import text
from agent.model.network_options import FALSE, TRUE
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import Cursor, after, derived, matching, sequence_of

# ---- Users and groups

_HIGHEST_ID = 2_147_483_647
"""The engine's own limit of uids and gids: moby/sys/user."""
_ID = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_user = matching(rf"{_ID}(?::{_ID})?", "a user: name or number, and :group if wanted", "app:1000")
_group = matching(_ID, "a group: name or number", "audio")


def _in_range(cursor: Cursor, written: str) -> str | None:
    for part in written.split(":"):
        if part.isdigit() and int(part) > _HIGHEST_ID:
            return cursor.fault(f"{part} is not a uid or gid", f"the maximum is {_HIGHEST_ID}")
    return written


user = after(_user)(_in_range)
"""Reads `user[:group]`, each a name or a number."""
groups = derived(sequence_of(after(_group)(_in_range), distinct=True), lambda found: tuple(sorted(found)))


# ---- Capabilities

_ALL = "ALL"
CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE",
    "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN",
    "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip
"""Those of capabilities(7). A kernel or an engine may lack the newest."""


@after(text)
def _capability(cursor: Cursor, written: str) -> str | None:
    known = written.upper().removeprefix("CAP_")
    if known in (*CAPABILITIES, _ALL):
        return known
    remedy = cursor.guess(known, (*CAPABILITIES, _ALL), "write for example NET_ADMIN")
    return cursor.fault(f"{cursor.shown} is not a capability", remedy)


capabilities = derived(sequence_of(_capability), lambda found: tuple(sorted(set(found))))
"""Reads a list of capabilities in Docker's spelling: upper case, without CAP_, sorted."""


# ---- Security options

_BARE = "no-new-privileges"
OPTIONS = ("apparmor", "label", _BARE, "seccomp")
_OF_THE_CLIENT = {
    "systempaths": ("only docker's client knows it", "use privileged, or mount over single paths"),
    "writable-cgroups": ("it requires Docker 28", "remove it"),
    "credentialspec": ("it is for Windows", "remove it"),
}
_LABELS = ("user:", "role:", "type:", "level:", "filetype:")
_ACTIONS = (
    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
)  # fmt: skip


@after(text)
def _option(cursor: Cursor, written: str) -> str | None:
    """Read one option as the engine splits it: at the first `=`, else at the first `:`."""
    name, _, value = written.partition("=" if "=" in written else ":")
    if name in _OF_THE_CLIENT:
        why, remedy = _OF_THE_CLIENT[name]
        return cursor.fault(f"'{name}' is not supported: {why}", remedy)
    if name not in OPTIONS:
        remedy = cursor.guess(name, OPTIONS, f"use {listed(OPTIONS)}")
        return cursor.fault(f"{cursor.shown} is not a security option", remedy)
    if name == "seccomp":
        return written if _is_profile(cursor, value) else None
    if name == "label" and value != "disable" and not (value.startswith(_LABELS) and value[-1] != ":"):
        problem = f"{cursor.shown} is not a label"
        return cursor.fault(problem, "write label=disable or for example label=type:web_t")
    if name == _BARE and written != _BARE and value not in (*TRUE, *FALSE):
        return cursor.fault(f"{cursor.shown} is neither true nor false", "write no-new-privileges:true")
    if name == "apparmor" and not value:
        return cursor.fault("names no profile", "write for example apparmor=docker-default")
    return written


def _is_profile(cursor: Cursor, value: str) -> bool:
    """Return True for `unconfined` and for a profile in JSON; note a fault for anything else, such as a path."""
    if value == "unconfined":
        return True
    if value == "builtin":
        problem = "'builtin' is not supported: it requires Docker 23"
        cursor.fault(problem, "remove the option: it is the default")
    elif not value.lstrip().startswith("{"):
        problem = "is no profile: docker's client reads such a file, and the engine does not"
        cursor.fault(problem, "write the content of the file: 'seccomp={\"defaultAction\": ...}'")
    elif why := _why_no_profile(value):
        problem = f"is not a seccomp profile: {why}"
        cursor.hidden().fault(problem, "write the content of a profile that docker run takes")
    else:
        return True
    return False


def _why_no_profile(value: str) -> str:
    try:
        profile = msgspec.json.decode(value, type=dict[str, object])
        calls = msgspec.convert(profile.get("syscalls") or [], type=list[dict[str, object]])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        return str(error)[:100]
    actions = [profile.get("defaultAction"), *(each.get("action") for each in calls)]
    wrong = next((each for each in actions if each not in _ACTIONS), _ACTIONS[0])
    return "" if wrong in _ACTIONS else f"{wrong or 'nothing'!s:.40} is not an action such as {_ACTIONS[1]}"


security_options = derived(sequence_of(_option, distinct=True), lambda found: tuple(sorted(found)))
