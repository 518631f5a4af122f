"""`compile` and `init`: one document of the files of a Compose project, and the part that Compose has no word for."""

import os
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import typer

from agent.compose import compile_project, load
from agent.errors import Invalid
from agent.intent import read_intent
from agent.intent.cluster import read_cluster
from agent.model.faults import InvalidDocument
from agent.model.phrases import counted
from agent.yamldoc import open_document
from agent.yamldoc.faultlist import printable


def compiled(files: Sequence[Path], env_files: Sequence[Path]) -> bytes:
    """Return the document of a Compose project. Prints its warnings and faults on stderr. Raises Invalid for faults."""
    names = ", ".join(map(str, files))
    stdin = sys.stdin.buffer.read() if Path("-") in files else b""
    try:
        document = compile_project(load(tuple(files), tuple(env_files), os.environ, stdin))
        read_intent(document.root, revision=0)
    except InvalidDocument as error:
        for fault in error.faults:
            typer.echo(printable(str(fault)), err=True)
        raise Invalid(f"{names} is not valid: {counted(len(error.faults), 'fault')}") from error
    for warning in document.warnings:
        typer.echo(printable(warning), err=True)
    return document.text.encode()


def write_compiled(files: Sequence[Path], env_files: Sequence[Path], output: Path | None) -> None:
    """Print the document, or write it to the file `output`."""
    document = compiled(files, env_files)
    if output is None:
        typer.echo(document.decode(), nl=False)
    else:
        output.write_bytes(document)


# ---- The part of a document that Compose has no word for

_BRIDGES = tuple(IPv4Network((f"172.{n}.0.0", 20)) for n in range(21, 32))
_MANAGERS = ((7, 5), (3, 3), (1, 1))
"""(fewest hosts, managers): an odd number, so that the swarm keeps its quorum without the most of them."""


def show_cluster(hosts: Sequence[str]) -> None:
    """Print an `x-cluster` for hosts given as NAME=ADDRESS. Raises Invalid for anything that it may not contain."""
    managers = next(managers for fewest, managers in _MANAGERS if len(hosts) >= fewest)
    given = [each.partition("=")[::2] for each in hosts]
    bridge = next(
        (each for each in _BRIDGES if not any(_is_in(address, each) for _, address in given)), _BRIDGES[0]
    )
    lines = [
        "x-cluster:",
        "  version: 1",
        "  hosts:",
        *(
            f"    {name}: {{address: {address}, role: {'manager' if number < managers else 'worker'}}}"
            for number, (name, address) in enumerate(given)
        ),
        f"  gwbridge: {{subnet: {bridge}}}    # of docker_gwbridge: no other network may overlap it",
    ]
    text = "\n".join(lines) + "\n"
    try:
        root = open_document(text.encode())
        read_cluster(root.at("x-cluster"))
        root.faults.raise_if_any()
    except InvalidDocument as error:
        wrong = "; ".join(f"{each.path}: {each.problem}" for each in error.faults)
        raise Invalid(f"{wrong}; name each host as node-1=10.0.0.1") from error
    typer.echo(text, nl=False)


def _is_in(address: str, network: IPv4Network) -> bool:
    try:
        return IPv4Address(address) in network
    except ValueError:
        return False
