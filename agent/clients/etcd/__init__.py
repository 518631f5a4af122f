"""The interface to etcd and its client. Only this package uses etcd3 0.12.0 and the generated stubs."""

from agent.clients.etcd.etcd import EtcdStore, Store
from agent.clients.etcd.watch import EtcdWatch

__all__ = ["EtcdStore", "EtcdWatch", "Store"]
