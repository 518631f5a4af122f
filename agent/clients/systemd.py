"""What is said to systemd, and how often it wants to hear that the program is alive. Without systemd: nothing.

The protocol is sd_notify(3): datagrams of NAME=value lines to the socket named in the environment.
"""

import os
import socket

SEND_TIMEOUT_S = 1.0
"""A manager that does not read must not hold up the loop."""


def notify(*fields: str) -> bool:
    """Send fields such as "READY=1"; return whether they went out. Never raises: no systemd is no fault."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_TIMEOUT_S)
            sender.connect(address)
            sender.sendall("\n".join(field.replace("\n", " ") for field in fields).encode())
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """Return the seconds between two signs of life, half of what systemd allows; None when it expects none of us."""
    for_pid = os.environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid()):
        return None
    try:
        allowed_us = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return allowed_us / 2 / 1e6 if allowed_us > 0 else None
