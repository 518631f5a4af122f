"""What can happen to any cluster in memory: to a host, with a number that says more."""

from collections.abc import Callable
from contextlib import suppress

from tests.support.simulated_cluster import (
    KEYS,
    TTL_S,
    Crash,
    SimulatedAgent,
    SimulatedCluster,
    SimulatedHost,
)


class BasicEvents:
    """What agents do, and what befalls them and their hosts. What cannot happen at its time does nothing."""

    cluster: SimulatedCluster

    def agent(self, name: str) -> SimulatedAgent | None:
        return self.cluster.agents.get(name)

    def host(self, name: str) -> SimulatedHost:
        return self.cluster.hosts[name]

    # ---- what agents do

    def turn(self, name: str, _number: int = 0) -> None:
        if agent := self.agent(name):
            agent.turn()

    def look(self, name: str, _number: int = 0) -> None:
        """A pass whose steps are left waiting: the world may change before they are carried out."""
        if agent := self.agent(name):
            agent.look()

    def work(self, name: str, number: int) -> None:
        if agent := self.agent(name):
            agent.pool.run(number % 3 + 1)

    def crash(self, name: str, number: int) -> None:
        """The agent ends after some more of its steps."""
        self.crash_after(name, number % 4 + 1)

    def crash_after(self, name: str, steps: int) -> None:
        if agent := self.agent(name):
            agent.crash_after(steps)
            with suppress(Crash):
                agent.turn()
            self.cluster.lose_agent(name)

    def start(self, name: str, _number: int = 0) -> None:
        if not self.agent(name):
            self.cluster.start(name)

    def restart_in_order(self, name: str, _number: int) -> None:
        if agent := self.agent(name):
            agent.session.close()
            self.cluster.lose_agent(name)
            self.start(name)

    # ---- what fails

    def time_passes(self, _name: str, number: int) -> None:
        self.cluster.clock.advance((0.5, 3.0, TTL_S + 1, 70.0)[number % 4])

    def etcd_goes(self, name: str, _number: int) -> None:
        if agent := self.agent(name):
            agent.cut_etcd()

    def etcd_comes(self, name: str, _number: int = 0) -> None:
        if agent := self.agent(name):
            agent.heal_etcd()

    def an_answer_is_lost(self, name: str, _number: int) -> None:
        if agent := self.agent(name):
            agent.store.lose_next_answer()

    def dockerd_goes(self, name: str, _number: int) -> None:
        self.host(name).engine.answers = False

    def registry_goes(self, _name: str, number: int) -> None:
        self.cluster.lan.registry_answers = bool(number % 2)

    # ---- what people do

    def take_lock(self, _name: str, _number: int) -> None:
        self.cluster.delete(KEYS.leader)

    def remove_worker(self, name: str) -> bool:
        """`docker node rm --force`, where the host is a worker; says whether. Its own engine does not notice."""
        membership = self.host(name).engine.nets.membership
        if not membership or membership[1].in_raft or membership[1] not in membership[0].members:
            return False
        membership[0].members.remove(membership[1])
        return True

    def spoil(self, name: str, number: int) -> None:
        """Write an unreadable value into a key that agents write."""
        specs = sorted(key for key in self.cluster.written() if key.startswith(KEYS.specs))
        keys = (KEYS.assignment(name), KEYS.verdict, KEYS.status(name), KEYS.accepted, *specs)
        self.cluster.put(keys[number % len(keys)], b"\x00")


def change(
    host: SimulatedHost, replica: str, overlay: str, number: int, *, deed: int
) -> Callable[[], object]:
    """Something that can be done to a replica behind the agent's back, by hand: `deed` says what."""
    engine = host.engine.by_hand
    deeds: tuple[Callable[[], object], ...] = (
        lambda: engine.end(replica, exit_code=137),
        lambda: engine.remove(replica, force=True),
        lambda: engine.pause(replica),
        lambda: engine.rename(replica, f"renamed-{number}"),
        lambda: engine.update(replica, {"Memory": 2**26}),
        lambda: engine.disconnect(replica, overlay),
    )
    return deeds[deed % len(deeds)]
