"""The messages and stubs of etcd's v3 API, generated from `etcd.proto` beside this file by script/protoc.

`agent.clients.etcd.channel` puts this package in the place of `etcd3.etcdrpc`: etcd3 0.12.0 brings code
generated in 2020, which no current protobuf loads. The names are therefore exported flat, as it expects them.
"""

import os

# Here because this is where grpc is first imported, and it looks at its environment only once. Its core writes lines
# of its own to stderr on every TLS error; and its c-ares resolver, asked for a name that is in /etc/hosts, still asks
# an unreachable name server for AAAA until the deadline.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

from .etcd_pb2 import *  # noqa: F403
from .etcd_pb2_grpc import *  # noqa: F403
