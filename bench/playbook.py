"""Ansible for the comparison: its environment under build/, pinned by version and hash, and the inventory of a lab."""

import json
import os
from pathlib import Path
from typing import Any

from bench.environment import install as environment_of
from integration.lab.lab import Lab

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench/ansible"
LOCK = FOLDER / "requirements.lock"
VENV = ROOT / "build/bench-venv"
WORK = ROOT / "build/bench"
INVENTORY = WORK / "inventory.json"
COMMAND = [str(VENV / "bin/ansible-playbook"), "--inventory", str(INVENTORY), str(FOLDER / "playbook.yaml")]

REPLICAS = {
    "order-1": {"node": "node-231", "service": "order"},
    "order-2": {"node": "node-231", "service": "order"},
    "console-1": {"node": "node-231", "service": "console", "ports": ["8080:80"]},
    "order-3": {"node": "node-232", "service": "order"},
    "billing-1": {"node": "node-232", "service": "billing"},
    "api-1": {"node": "node-232", "service": "api", "ports": ["80:8080"]},
    "terminal-1": {"node": "node-233", "service": "terminal", "ports": ["20880:20880"]},
    "api-2": {"node": "node-233", "service": "api", "ports": ["80:8080"]},
}


def install() -> None:
    """Make the environment unless it is there as the lock file says."""
    environment_of(VENV, LOCK)


def write_inventory(lab: Lab) -> None:
    """Every engine and every replica as a host of the inventory, reached from here without SSH."""
    nodes = {
        host.name: {
            "address": host.address,
            "docker_host": f"unix://{host.socket}",
            "first": host is lab.hosts[0],
        }
        for host in lab.hosts
    }
    reached: dict[str, Any] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": str(VENV / "bin/python"),
    }
    groups = {"nodes": {"hosts": nodes}, "replicas": {"hosts": REPLICAS}}
    WORK.mkdir(parents=True, exist_ok=True)
    INVENTORY.write_text(json.dumps({"all": {"vars": reached, "children": groups}}, indent=1))


def environment() -> dict[str, str]:
    """Our ansible.cfg and nothing of the machine's owner."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(WORK),
        "LANG": "C.UTF-8",
        "ANSIBLE_CONFIG": str(FOLDER / "ansible.cfg"),
    }
