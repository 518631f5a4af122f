"""What must hold in a fresh process, before and after the first import."""

import subprocess
import sys


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def test_etcd3_runs_on_our_stubs() -> None:
    done = run("import agent.clients.store, etcd3; print(etcd3.etcdrpc.__name__)")
    assert done.stdout.strip() == "agent.clients.etcdpb", done.stderr


def test_an_etcd3_that_was_there_before_is_a_clear_error() -> None:
    done = run(
        "import sys, types; sys.modules['etcd3.etcdrpc'] = types.ModuleType('theirs')\nimport agent.clients.store"
    )
    assert done.returncode != 0
    assert "import agent.clients.store first" in done.stderr


def test_grpc_is_told_to_be_quiet_and_to_resolve_names_as_the_host_does_unless_told_otherwise() -> None:
    code = (
        "import agent.clients.store, os; print(os.environ['GRPC_VERBOSITY'], os.environ['GRPC_DNS_RESOLVER'])"
    )
    assert run(code).stdout.split() == ["NONE", "native"]
    assert run(code, GRPC_VERBOSITY="DEBUG", GRPC_DNS_RESOLVER="ares").stdout.split() == ["DEBUG", "ares"]


def test_a_tls_failure_writes_nothing_to_stderr_but_is_an_error_with_a_text(tmp_path_factory: object) -> None:
    code = (
        "from agent.clients.store import EtcdStore\n"
        "from agent.errors import Unreachable\n"
        "from agent.model.store import KeyRange, StoreSettings\n"
        "import sys\n"
        "store = EtcdStore(StoreSettings(endpoints=('127.0.0.1:1',), ca_file='/etc/hostname', budget_s=2))\n"
        "try:\n    store.read([KeyRange(key='a')])\n"
        "except Unreachable as error:\n    print(error)\n"
    )
    done = run(code, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert done.stdout.startswith("etcd at https://127.0.0.1:1: ")
    assert done.stderr == ""
