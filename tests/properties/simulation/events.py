"""What agents of a world can do, and what can fail in it."""

from contextlib import suppress

from agent.errors import SwarmkeeperError, Unreachable
from tests.properties.simulation.basic_events import BasicEvents
from tests.properties.simulation.invariants import REFUSED
from tests.properties.simulation.witness import Witness
from tests.properties.simulation.world import World
from tests.support.simulated_cluster import TTL_S


class AgentEvents(BasicEvents):
    """What agents do, and what befalls them."""

    world: World
    witness: Witness

    def round(self, _name: str, number: int) -> None:
        """Everybody takes his turn, and some time passes."""
        for name in tuple(self.world.agents):
            self.turn(name)
        self.world.clock.advance((1.0, 3.0)[number % 2])
        self.witness.roles_are_taken_on()

    def woken_twice(self, name: str, _number: int) -> None:
        self.look(name)
        self.look(name)

    def killed(self, name: str, _number: int) -> None:
        if self.agent(name):
            self.world.lose_agent(name)

    def start(self, name: str, _number: int = 0) -> None:
        if not self.agent(name):
            super().start(name)
            self.witness.follow(self.world.agents[name])

    def frozen_mid_write(self, name: str, number: int) -> None:
        """It stands still for longer than its lease between asking whether it leads and writing as the leader."""
        agent = self.agent(name)
        if agent is None:
            return

        def meanwhile() -> None:
            assert agent is not None
            agent.store.before_fenced = lambda: None
            self._others_go_on(name)

        agent.store.before_fenced = meanwhile
        agent.turn()
        agent.store.before_fenced = lambda: None

    def frozen_at_a_node(self, name: str, _number: int) -> None:
        """It stands still for longer than its lease between asking whether it leads and changing a node."""
        agent, engine = self.agent(name), self.host(name).engine
        if agent is None:
            return

        def meanwhile() -> None:
            engine.before_node_update = lambda: None
            self._others_go_on(name)

        engine.before_node_update = meanwhile
        agent.turn()
        engine.before_node_update = lambda: None

    def frozen(self, name: str, _number: int) -> None:
        """It stands still between deciding and acting, while the others go on."""
        if agent := self.agent(name):
            agent.look()
            self.world.clock.advance(TTL_S + 1)
            for other in tuple(self.world.agents):
                if other != name:
                    self.turn(other)
            if self.agent(name) is agent:
                agent.pool.run()

    def _others_go_on(self, name: str) -> None:
        """For longer than the lease of an agent that stands still."""
        self.world.clock.advance(TTL_S + 1)
        for _ in range(2):
            for other in tuple(self.world.agents):
                if other != name:
                    self.turn(other)


class Faults(BasicEvents):
    """What fails."""

    world: World
    witness: Witness

    def time_passes(self, name: str, number: int) -> None:
        super().time_passes(name, number)
        self.witness.roles_are_taken_on()

    def etcd_goes(self, name: str, number: int) -> None:
        """For one agent or, seldom, for all."""
        for each in tuple(self.world.agents) if number % 5 == 0 else (name,):
            super().etcd_goes(each, number)

    def etcd_comes(self, name: str, number: int = 0) -> None:
        for each in tuple(self.world.agents) if number % 2 == 0 else (name,):
            super().etcd_comes(each)

    def cut_from_the_swarm(self, name: str, number: int) -> None:
        """One host, or the LAN falls into two parts; etcd is still reached by all."""
        sides, host = self.world.lan.sides, self.host(name)
        sides[host.engine.address] = len(self.world.names) + 1 + self.world.names.index(name)
        if number % 3 == 0:
            for each, other in enumerate(self.world.hosts.values()):
                sides[other.engine.address] = number >> each & 1

    def reached_again(self, _name: str, _number: int = 0) -> None:
        self.world.lan.sides.clear()

    def dockerd_comes(self, name: str, _number: int = 0) -> None:
        """It makes every gateway again, and docker_gwbridge if there was none."""
        if not self.host(name).engine.answers:
            self.host(name).engine.answers = True
            self._dockerd_starts(name)

    def dockerd_restarts(self, name: str, _number: int = 0) -> None:
        if self.host(name).engine.answers:
            self._dockerd_starts(name)

    def a_call_fails(self, name: str, number: int) -> None:
        """The next call of a kind is not answered, and comes to nothing."""
        calls = (
            "join_swarm",
            "create_container",
            "start",
            "create_network",
            "update_node",
            "pull",
            "remove_network",
        )
        engine = self.host(name).engine
        engine.failures[calls[number % len(calls)]] = Unreachable("Timeout was reached")

    def docker_refuses(self, name: str, number: int) -> None:
        """The engine of a host starts no new container of an image, for a value that its runtime refuses."""
        image = ("somecom/order:1.0.0", "somecom/order:1.0.1", "somecom/api:1.0.0")[number % 3]
        self.host(name).engine.by_hand.refused[image] = REFUSED

    def is_refusing(self) -> bool:
        return any(host.engine.by_hand.refused for host in self.world.hosts.values())

    def docker_takes_all(self) -> None:
        """Its cause is gone, and somebody has removed what it was refused for, as the agent asks."""
        for name, host in self.world.hosts.items():
            host.engine.by_hand.refused.clear()
            for raw in list(host.replicas().values()):
                if raw["State"]["Status"] == "created" and raw["State"].get("Error") == REFUSED:
                    host.engine.by_hand.remove(raw["Id"])
            self.world.note_foreign(name)

    def power_is_cut(self, name: str, _number: int) -> None:
        """The host is gone with its agent and all that ran."""
        host = self.host(name)
        self.world.agents.pop(name, None)
        host.engine.answers = False
        for raw in list(host.engine.by_hand.raws.values()):
            host.engine.by_hand.end(raw["Id"], exit_code=137)
        self.world.note_foreign(name)

    def power_comes(self, name: str, number: int = 0) -> None:
        """dockerd starts again what was to be started always, as far as it can, and the agent comes."""
        host = self.host(name)
        if host.engine.answers or self.agent(name):
            return
        host.boot_id = f"boot {number} at {self.world.clock()} of {name}"
        self.dockerd_comes(name)
        for raw in list(host.engine.by_hand.raws.values()):
            if raw["State"]["Status"] == "exited":
                with suppress(SwarmkeeperError):
                    host.engine.by_hand.start(raw["Id"])
        self.world.note_foreign(name)

    def _dockerd_starts(self, name: str) -> None:
        host = self.host(name)
        with suppress(SwarmkeeperError):
            host.engine.nets.restart()
        for _, member in [host.engine.nets.membership] if host.engine.nets.membership else []:
            member.failed = False
        self.world.note_foreign(name)
