"""The daemon: starts the threads of the agent, supervises the loop, and ends everything in order."""

import faulthandler
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from agent import __version__, logs
from agent.clients import systemd
from agent.clients.disk import StateDirectory
from agent.clients.systemd import EndSignals
from agent.config import Config, load_config
from agent.daemon.cluster_view import ClusterViews
from agent.daemon.wiring import Agent, environment_of
from agent.errors import Invalid, Refused, SwarmkeeperError
from agent.http import Access, Sources, WebServer, serve
from agent.model.keys import Keys
from agent.report import LatestOnly

log = structlog.get_logger()

STALLED_S = 60.0
"""Seconds without a completed pass after which the loop is hung. systemd gets no watchdog signal then."""
LISTEN_AGAIN_S = 5.0
"""Seconds between attempts to start the HTTP server."""
STATUS_PAUSE_S = 0.25
"""Seconds between writes of the status key: at most four a second."""
STEPS_END_S = 10.0
"""Seconds that steps in flight have to end when the agent stops. The next run observes the others."""


def run(config: Config) -> NoReturn:
    """Run the agent until SIGTERM or SIGINT, then end the process. Stopping the agent stops no container.

    The exit code is 1 if the loop ended by itself, else 0.
    Raises Refused when another agent runs on this host and Invalid for an invalid address; nothing has started then.
    """
    faulthandler.enable()  # systemd's watchdog ends a hung agent with SIGABRT: the journal gets every thread's stack
    logs.configure(config.log.level, config.log.format)
    signals = EndSignals()
    log.info("starting", version=__version__, cluster=config.cluster, host=config.host)
    daemon = Daemon(config)
    try:
        daemon.start()
        code = 0 if daemon.watch_over(signals) else 1
    finally:
        daemon.close()
    log.info("stopped")
    # A normal exit joins the worker threads, and a pull may hang for an hour; it also takes a third of a second more.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Daemon:
    """A running agent with its threads and its HTTP server."""

    def __init__(self, config: Config) -> None:
        self._environment = environment_of(config)
        self._later = LatestOnly(STATUS_PAUSE_S)
        self._agent = agent = Agent(config, self._environment, self._later)
        self._loop, self._dispatcher, self._reporter = agent.loop, agent.dispatcher, agent.reporter
        self._thread = threading.Thread(target=self._loop.run, name="reconcile", daemon=True)
        keys = Keys(config.cluster)
        views = ClusterViews(self._environment.store, keys, config.host, self._reporter.status)
        self._sources = Sources(
            metrics=agent.metrics.exposition,
            alive=self._is_alive,
            unready=self._reporter.unready,
            status=self._reporter.status,
            cluster=views.view,
            document=views.document,
        )
        self._access = Access(config.http.web_config, partial(agent.metrics.count, "login_failures_total"))
        self._web: WebServer | None = None
        self._listen = config.http.listen
        self._directory = StateDirectory(Path(config.state_directory))

    def start(self) -> None:
        """Start the HTTP server first and the loop last. Without the server the agent works all the same.

        Raises Refused when another agent runs on this host.
        """
        self._directory.lock()
        self._serve()
        self._agent.session.start()
        self._agent.observer.recall()
        self._agent.triggers.start(self._agent.observer.watched())
        self._thread.start()

    def _serve(self) -> None:
        """Start the HTTP server; if this host cannot listen now, report that."""
        try:
            self._web = serve(self._listen, self._sources, self._access)
        except Refused as error:
            if str(error) != self._agent.observer.page_fault:
                log.error("no HTTP server", error=str(error))
            self._agent.observer.page_fault = str(error)
            return
        if self._agent.observer.page_fault:
            log.info("HTTP server started", listen=self._listen)
            self._agent.observer.page_fault = ""
            self._agent.wake.wake("HTTP server started")

    def watch_over(self, signals: EndSignals) -> bool:
        """Send systemd the watchdog signal while the loop is alive.

        Return True when a signal asks to end, False when the loop has ended by itself.
        """
        interval_s = systemd.watchdog_interval() or STALLED_S / 4
        while not signals.wait(interval_s if self._web else min(interval_s, LISTEN_AGAIN_S)):
            if self._web is None:
                self._serve()
            if not self._thread.is_alive():
                log.critical("reconcile loop has ended; the agent exits")
                return False
            if self._is_alive():
                systemd.notify("WATCHDOG=1")
            else:
                log.error("reconcile loop hangs", seconds=round(time.monotonic() - self._loop.last_pass_at))
        return True

    def close(self) -> None:
        """End in the order with the fastest leader change: no new pass, the lease revoked, then everything else."""
        systemd.notify("STOPPING=1")
        self._loop.stop()
        self._agent.triggers.close()
        self._agent.session.close()  # a pass or a step that hangs in dockerd must not delay the next leader
        if self._thread.is_alive():
            self._thread.join(STEPS_END_S)
        if not self._dispatcher.close(STEPS_END_S):
            left = [str(each) for each in self._dispatcher.in_flight]
            log.warning("steps in flight continue in dockerd", steps=left)
        self._reporter.close()
        self._later.close()
        if self._web:
            self._web.close()
        self._environment.engine.close()
        self._environment.store.close()

    def _is_alive(self) -> bool:
        return time.monotonic() - self._loop.last_pass_at < STALLED_S


FAILED = 1
FAULTY_CONFIG = 78
"""EX_CONFIG of sysexits.h: the unit names it in RestartPreventExitStatus=."""


def run_agent(config: Path) -> int:
    """Run the agent, which ends the process itself; return the exit code if it cannot start."""
    try:
        loaded = load_config(config)
    except Invalid as error:
        sys.stderr.write(f"swarmkeeper: {error}\n")
        return FAULTY_CONFIG
    try:
        run(loaded)
    except SwarmkeeperError as error:
        sys.stderr.write(f"swarmkeeper: {error}\n")
        return FAULTY_CONFIG if isinstance(error, Invalid) else FAILED
