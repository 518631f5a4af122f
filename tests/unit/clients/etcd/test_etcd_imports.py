"""What must hold in a fresh process, before and after the first import."""

import subprocess
import sys

from tests.support.etcd_server import EtcdServer


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def test_etcd3_runs_on_our_stubs() -> None:
    done = run("import agent.clients.etcd, etcd3; print(etcd3.etcdrpc.__name__)")
    assert done.stdout.strip() == "agent.clients.etcdpb", done.stderr


def test_an_etcd3_that_was_there_before_is_a_clear_error() -> None:
    done = run(
        "import sys, types; sys.modules['etcd3.etcdrpc'] = types.ModuleType('theirs')\nimport agent.clients.etcd"
    )
    assert done.returncode != 0
    assert "import agent.clients.etcd first" in done.stderr


def test_grpc_is_told_to_be_quiet_and_to_resolve_names_as_the_host_does_unless_told_otherwise() -> None:
    code = (
        "import agent.clients.etcd, os; print(os.environ['GRPC_VERBOSITY'], os.environ['GRPC_DNS_RESOLVER'])"
    )
    assert run(code).stdout.split() == ["NONE", "native"]
    assert run(code, GRPC_VERBOSITY="DEBUG", GRPC_DNS_RESOLVER="ares").stdout.split() == ["DEBUG", "ares"]


def test_a_tls_failure_writes_nothing_to_stderr_but_is_an_error_with_a_text() -> None:
    code = (
        "from agent.clients.etcd import EtcdStore\n"
        "from agent.errors import Unreachable\n"
        "from agent.model.store import KeyRange, StoreSettings\n"
        "import sys\n"
        "settings = StoreSettings(endpoints=('127.0.0.1:1',), ca_file='/etc/hostname', timeout_s=0.5, budget_s=0.5)\n"
        "store = EtcdStore(settings)\n"
        "try:\n    store.read([KeyRange(key='a')])\n"
        "except Unreachable as error:\n    print(error)\n"
    )
    done = run(code, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert done.stdout.startswith("etcd does not answer: https://127.0.0.1:1: ")
    assert done.stderr == ""


def test_a_proxy_of_the_environment_is_not_asked_for_etcd(shared_server: EtcdServer) -> None:
    code = (
        "from agent.clients.etcd import EtcdStore\n"
        "from agent.model.store import KeyRange, StoreSettings\n"
        f"store = EtcdStore(StoreSettings(endpoints=('{shared_server.endpoint}',)))\n"
        "print(store.read([KeyRange(key='a')]).revision > 0)\n"
    )
    proxy = "http://127.0.0.1:9"
    assert run(code, http_proxy=proxy, https_proxy=proxy, grpc_proxy=proxy).stdout.strip() == "True"


def test_a_process_that_ends_without_closing_says_nothing_about_it(shared_server: EtcdServer) -> None:
    code = (
        "from agent.clients.etcd import EtcdStore\n"
        "from agent.model.store import KeyRange, StoreSettings\n"
        "import threading\n"
        "opened = threading.Event()\n"
        f"store = EtcdStore(StoreSettings(endpoints=('{shared_server.endpoint}',)))\n"
        "store.watch([KeyRange(key='a')], lambda reason: opened.set())\n"
        "print(opened.wait(5))\n"
    )
    done = run(code)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
