"""The clients in memory inherit from the real ones for their types only."""

import pytest

from agent.clients.docker import DockerEngine
from agent.clients.etcd import EtcdStore, EtcdWatch
from agent.clients.kernel import LinuxKernel
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.fakes.store import FakeStore, FakeWatch

OF_BOTH = frozenset({"closed"})
"""What a watch in memory has from the real one."""


@pytest.mark.parametrize(
    ("real", "fake"),
    [(DockerEngine, FakeEngine), (EtcdStore, FakeStore), (EtcdWatch, FakeWatch), (LinuxKernel, FakeKernel)],
)
def test_a_client_in_memory_overrides_every_method(real: type, fake: type) -> None:
    methods = {name for name in dir(real) if not name.startswith("_")}
    ours = {name for each in fake.mro() if each.__module__.startswith("tests.") for name in vars(each)}
    assert methods - ours <= OF_BOTH
