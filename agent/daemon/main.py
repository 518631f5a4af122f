"""The composition root: makes the parts, starts their threads, watches over the loop, and ends all in order."""

import faulthandler
import os
import random
import sys
import threading
import time
import uuid
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from agent import __version__, logs
from agent.apply import Doors, apply
from agent.clients import systemd
from agent.clients.disk import StateDirectory
from agent.clients.etcd import EtcdStore
from agent.clients.kernel import LinuxKernel
from agent.clients.seal import Seal, load_seal
from agent.clients.systemd import EndSignals
from agent.config import Config, load_config
from agent.daemon.dispatcher import Backoff, Dispatcher
from agent.daemon.loop import Reconciler, Rhythm
from agent.daemon.triggers import Triggers, WakeUps
from agent.daemon.wiring import (
    DECISIONS,
    cluster_reader_of,
    engine_of,
    host_reader_of,
    identity_of,
    session_of,
)
from agent.errors import Invalid, SwarmkeeperError
from agent.http import Access, Sources, WebServer, serve
from agent.lease import boottime_s
from agent.model.keys import Keys
from agent.model.records import timestamp
from agent.model.steps import LetGo, PullImage, Step
from agent.model.steps.plan import Outcome
from agent.observe import Observer
from agent.report import Metrics, NewestWins, Reporter

log = structlog.get_logger()

STALLED_S = 60.0
"""A loop without a finished pass for this long is hung: systemd is not told that all is well any more."""
STATUS_PAUSE_S = 0.25
"""At most four writes of the status key a second, however busy the host is."""
STEPS_END_S = 10.0
"""What steps in flight get to end in when the agent stops; they are observed anew by the next run."""


def run(config: Config) -> NoReturn:
    """Be the agent until SIGTERM or SIGINT, then end the process. Stopping the agent stops no container.

    The exit code is 1 when the loop has ended by itself, else 0.
    Raises Refused when the HTTP port is taken, Invalid for an address that is none: then nothing has begun.
    """
    faulthandler.enable()  # systemd's watchdog ends a hung agent with SIGABRT: the journal gets every thread's stack
    logs.configure(config.log.level, config.log.format)
    signals = EndSignals()
    log.info("starting", version=__version__, cluster=config.cluster, host=config.host)
    daemon = Daemon(config)
    try:
        daemon.start(config.http.listen)
        code = 0 if daemon.watch_over(signals) else 1
    finally:
        daemon.close()
    log.info("stopped")
    _exit_now(code)


class Daemon:
    """Every part of a running agent."""

    def __init__(self, config: Config) -> None:
        keys, instance = Keys(config.cluster), uuid.uuid4().hex
        metrics, self._wake = Metrics(version=__version__), WakeUps()
        self._store = EtcdStore(config.store, observe_call=metrics.observe_store_call)
        self._engine, kernel = engine_of(config, metrics), LinuxKernel()
        self._session = session_of(config, keys, instance, metrics, self._wake)
        seal = load_seal(config.cluster, config.tokens.key_file)
        self._reader = cluster_reader_of(config, keys, seal)
        self._host = host_reader_of(config, self._engine, kernel)
        self._observer = Observer(
            self._reader,
            self._host,
            self._store,
            StateDirectory(Path(config.state_directory)),
            identity_of(config, instance),
            lambda: self._session.lease_id,
            renewed_s=lambda: self._session.renewed_s,
        )
        self._triggers = Triggers(self._store, self._engine, kernel, self._wake)
        self._status_writer = NewestWins(STATUS_PAUSE_S)
        self._reporter = Reporter(
            self._store,
            keys.status(config.host),
            metrics,
            DECISIONS,
            version=__version__,
            later=self._status_writer,
        )
        metrics.follow("lease_ttl_seconds", self._lease_left_s)
        metrics.follow("store_last_contact_timestamp_seconds", self._store_last_contact)
        self._dispatcher = self._new_dispatcher(config, keys, seal)
        self._loop = Reconciler(
            self._observer,
            self._dispatcher,
            self._reporter,
            self._triggers,
            self._wake,
            Rhythm(resync_s=config.reconcile.resync_s, settle_s=config.reconcile.settle_s),
            time.monotonic,
        )
        self._thread = threading.Thread(target=self._loop.run, name="reconcile", daemon=True)
        self._sources = Sources(
            metrics=metrics.exposition,
            alive=self._is_alive,
            unready=self._reporter.unready,
            status=self._reporter.status,
        )
        self._access = Access(config.http.web_config)
        self._web: WebServer | None = None

    def _new_dispatcher(self, config: Config, keys: Keys, seal: Seal) -> Dispatcher:
        """Who carries the steps out, on the loop's fence of that moment."""
        doors = Doors(
            engine=self._engine,
            store=self._store,
            session=self._session,
            keys=keys,
            me=config.host,
            cluster=config.cluster,
            fence=lambda: self._loop.fence,
            now=lambda: timestamp(time.time()),
            told=self._pull_goes_on,
            seal=seal.close,
            seal_keys=seal.close_keys,
        )
        rhythm = config.reconcile
        return Dispatcher(
            partial(self._carry_out, doors),
            self._step_done,
            Backoff(rhythm.backoff_min_s, rhythm.backoff_max_s, random.random),
            time.monotonic,
            workers=rhythm.workers,
            pulls=rhythm.pulls,
        )

    def start(self, listen: str) -> None:
        """Start the threads: who looks at us first, who changes things last. Raises Refused when the port is taken."""
        self._web = serve(listen, self._sources, self._access)
        self._session.start()
        self._observer.recall()
        self._triggers.start(self._reader.watched())
        self._thread.start()

    def watch_over(self, signals: EndSignals) -> bool:
        """Tell systemd that all is well for as long as it is.

        Returns True when a signal asks to end, False when the loop has died.
        """
        interval_s = systemd.watchdog_interval() or STALLED_S / 4
        while not signals.wait(interval_s):
            if not self._thread.is_alive():
                log.critical("the loop has ended by itself")
                return False
            if self._is_alive():
                systemd.notify("WATCHDOG=1")
            else:
                log.error("the loop hangs", seconds=round(time.monotonic() - self._loop.last_pass_at))
        return True

    def close(self) -> None:
        """End in the order that hands over soonest: no new pass, the lease given back, then the rest."""
        systemd.notify("STOPPING=1")
        self._loop.stop()
        self._triggers.close()
        self._session.close()  # a pass or a step that hangs in dockerd must not delay the next leader
        if self._thread.is_alive():
            self._thread.join(STEPS_END_S)
        if not self._dispatcher.close(STEPS_END_S):
            log.warning(
                "steps in flight are left to dockerd", steps=[str(s) for s in self._dispatcher.in_flight]
            )
        self._reporter.close()
        self._status_writer.close()
        if self._web:
            self._web.close()
        self._engine.close()
        self._store.close()

    def _carry_out(self, doors: Doors, step: Step) -> None:
        self._reporter.step_started(step)
        apply(doors, step)
        if isinstance(step, PullImage):
            self._host.note_pull(step.image)

    def _pull_goes_on(self, resource: str, progress: str) -> None:
        if self._reporter.pull_goes_on(resource, progress):
            self._wake.wake("pull goes on")

    def _step_done(self, outcome: Outcome) -> None:
        if outcome.step.kind == "swarm":
            self._host.forget()
        if isinstance(outcome.step, LetGo):
            self._observer.let_go()
        self._reporter.step_done(outcome)
        self._wake.wake("step ended")

    def _lease_left_s(self) -> float:
        return max(0.0, self._session.valid_until - boottime_s())

    def _store_last_contact(self) -> float:
        last = self._store.health().last_contact_s
        return 0.0 if last is None else time.time() - (time.monotonic() - last)

    def _is_alive(self) -> bool:
        return time.monotonic() - self._loop.last_pass_at < STALLED_S


def _exit_now(code: int) -> NoReturn:
    """Exit without waiting for worker threads: at a common exit Python joins them, and a pull may hang for an hour.

    With none left it saves the third of a second that Python takes to put itself away.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# ---- `run`: the daemon


FAILED = 1
FAULTY_CONFIG = 78
"""EX_CONFIG of sysexits.h: the unit names it in RestartPreventExitStatus=."""


def run_agent(config: Path) -> int:
    """Run the agent until it is told to end, which ends the process; returns the exit code when it cannot begin."""
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
