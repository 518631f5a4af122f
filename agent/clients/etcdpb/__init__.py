"""The messages and stubs of etcd's v3 API, generated from `etcd.proto` beside this file by script/protoc.

`agent.clients.store.channel` puts this package in the place of `etcd3.etcdrpc`: etcd3 0.12.0 brings code
generated in 2020, which no current protobuf loads. The names are therefore exported flat, as it expects them.
"""

from .etcd_pb2 import *  # noqa: F403
from .etcd_pb2_grpc import *  # noqa: F403
