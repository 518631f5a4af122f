"""Admission: what the containers of a host may have, whatever etcd or the leader say. Root sets it in agent.yaml."""

from agent.admission.check import Gate, warn
from agent.admission.policy import decode, encode

__all__ = ["Gate", "decode", "encode", "warn"]
