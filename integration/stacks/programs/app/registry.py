"""Holding a registration as Dubbo does: an ephemeral node named by the URL, and the URLs of others."""

import os
import sys
import threading
import time
from urllib.parse import quote, unquote, urlsplit

from zk import Expired, Refused, ZooKeeper

SERVICE = "com.example.OrderService"
ROOT = f"/dubbo/{SERVICE}"
RETRY_S = 0.2


class Registry(threading.Thread):
    """Keeps `url` below `category` registered, and `providers` the addresses that are registered (host, port)."""

    def __init__(self, category: str, url: str, *, watches: bool) -> None:
        super().__init__(daemon=True)
        at = urlsplit(os.environ["DUBBO_REGISTRY_ADDRESS"])
        self._client = ZooKeeper(at.hostname or "", at.port or 2181)
        self._own, self._watches = f"{ROOT}/{category}/{quote(url, safe='')}", watches
        self._ending, self._ended = threading.Event(), threading.Event()
        self.providers: tuple[tuple[str, int], ...] = ()
        self.sessions = 0
        self.registered = False

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                self._hold()
            except Expired:
                self.registered = False
            except (OSError, Refused) as error:
                print(f"registry: {error}", file=sys.stderr, flush=True)
                self._client.drop()
                time.sleep(RETRY_S)
        self.registered = False
        self._client.close()
        self._ended.set()

    def end(self) -> None:
        """Take the registration back; return when it is gone, or after 3 s."""
        self._ending.set()
        self._ended.wait(3)

    def _hold(self) -> None:
        before = self._client.session
        self._client.connect()
        if self._client.session != before:
            self.sessions += 1
            for category in ("providers", "consumers"):
                self._client.ensure(f"{ROOT}/{category}")
            self._client.own(self._own)
        self.registered = True
        while not self._ending.is_set():
            if self._watches:
                names = map(unquote, self._client.children(f"{ROOT}/providers"))
                found = [urlsplit(name) for name in names]
                self.providers = tuple(sorted((each.hostname or "", each.port or 0) for each in found))
            while not self._client.wait(0.2):
                if self._ending.is_set():
                    return
