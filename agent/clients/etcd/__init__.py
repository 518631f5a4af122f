"""The interface to etcd and its client. Only this package uses etcd3 0.12.0 and the generated stubs."""

from agent.clients.etcd.etcd import EtcdStore, Store, Watch

__all__ = ["EtcdStore", "Store", "Watch"]
