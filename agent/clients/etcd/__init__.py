"""etcd: the interface that the program sees, and the client behind it.

etcd3 0.12.0 and the generated stubs are seen by this package alone.
"""

from agent.clients.etcd.etcd import EtcdStore, Store, Watch

__all__ = ["EtcdStore", "Store", "Watch"]
