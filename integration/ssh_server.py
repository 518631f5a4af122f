"""An ssh server on the lab's hosts, which root of one of them may enter by key, as from an operator's station."""

from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

UNPACKED = REPOSITORY / "build/tools"
"""Where script/bootstrap unpacks the package, if this machine has no server of its own."""
PROGRAM, LIBRARIES = "usr/sbin/sshd", "usr/lib/*/libwrap.so.0"
UNIT = """\
[Unit]
Description=ssh server of the lab
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e
[Install]
WantedBy=multi-user.target
"""
CONFIG = "UsePAM no\nHostKey /etc/ssh/lab_key\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"


def serve_ssh(lab: Lab, station: Host) -> None:
    """Start a server on every host; the station knows their keys, and they know the station's."""
    if station.exec("test", "-e", "/root/.ssh/id_ed25519", check=False).returncode:
        station.exec("install", "-d", "-m", "700", "/root/.ssh")
        station.exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
    public, known = station.read("/root/.ssh/id_ed25519.pub"), ""
    for host in lab.hosts:
        if host.systemctl("is-active", "lab-sshd", check=False) != "active":
            _install(host, public)
        known += f"{host.address} {host.read('/etc/ssh/lab_key.pub')}"
    station.write("/root/.ssh/known_hosts", known, mode=0o600)


def _install(host: Host, public: str) -> None:
    if host.exec("test", "-x", f"/{PROGRAM}", check=False).returncode:
        for each in (*UNPACKED.glob(LIBRARIES), UNPACKED / PROGRAM):
            host.write(f"/{each.relative_to(UNPACKED)}", each.resolve().read_bytes(), mode=0o755)
    if host.exec("id", "sshd", check=False).returncode:
        host.exec("useradd", "--system", "--home-dir", "/run/sshd", "--shell", "/usr/sbin/nologin", "sshd")
    host.exec("usermod", "--password", "*", "root")  # a locked account cannot log in by key either
    host.exec("rm", "-f", "/etc/ssh/lab_key", "/etc/ssh/lab_key.pub")
    host.exec("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/lab_key")
    host.write("/etc/ssh/sshd_config", CONFIG)
    host.write("/root/.ssh/authorized_keys", public, mode=0o600)
    host.write("/etc/systemd/system/lab-sshd.service", UNIT)
    host.systemctl("daemon-reload")
    host.systemctl("enable", "--now", "lab-sshd")
