"""What can happen to a world: to a host, with a number that says more. What cannot happen at its time does nothing."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from agent.errors import SwarmkeeperError, Unreachable
from agent.model.intent import GWBRIDGE
from tests.simulated_cluster import KEYS, TTL_S, Crash, SimulatedAgent, SimulatedHost
from tests.simulation.documents import BAD, OVERLAY, document, wish
from tests.simulation.witness import Witness
from tests.simulation.world import GUEST, World


class AgentEvents:
    """What agents do, and what befalls them."""

    world: World
    witness: Witness

    def agent(self, name: str) -> SimulatedAgent | None:
        return self.world.agents.get(name)

    def turn(self, name: str, _number: int = 0) -> None:
        if agent := self.agent(name):
            agent.turn()

    def round(self, _name: str, number: int) -> None:
        """Everybody takes his turn, and some time passes."""
        for name in tuple(self.world.agents):
            self.turn(name)
        self.world.clock.advance((1.0, 3.0)[number % 2])
        self._roles_are_taken_on()

    def look(self, name: str, _number: int) -> None:
        """A pass whose steps are left waiting: the world may change before they are carried out."""
        if agent := self.agent(name):
            agent.look()

    def woken_twice(self, name: str, _number: int) -> None:
        self.look(name, 0)
        self.look(name, 0)

    def work(self, name: str, number: int) -> None:
        if agent := self.agent(name):
            agent.stepped.pool.run(number % 3 + 1)

    def crash(self, name: str, number: int) -> None:
        """The agent ends after some more of its steps."""
        if agent := self.agent(name):
            agent.crash_after(number % 4 + 1)
            with suppress(Crash):
                agent.turn()
            self.world.lose_agent(name)

    def killed(self, name: str, _number: int) -> None:
        if self.agent(name):
            self.world.lose_agent(name)

    def start(self, name: str, _number: int = 0) -> None:
        if not self.agent(name):
            self.world.start(name)
            self.witness.follow(self.world.agents[name])

    def restart_in_order(self, name: str, _number: int) -> None:
        if agent := self.agent(name):
            agent.session.close()
            self.world.lose_agent(name)
            self.start(name)

    def frozen_mid_write(self, name: str, number: int) -> None:
        """It stands still for longer than its lease between asking whether it leads and writing as the leader."""
        agent = self.agent(name)
        if agent is None:
            return

        def meanwhile() -> None:
            assert agent is not None
            agent.store.before_fenced = lambda: None
            self.world.clock.advance(TTL_S + 1)
            for _ in range(2):
                for other in tuple(self.world.agents):
                    if other != name:
                        self.turn(other)

        agent.store.before_fenced = meanwhile
        agent.turn()
        agent.store.before_fenced = lambda: None

    def frozen(self, name: str, _number: int) -> None:
        """It stands still between deciding and acting, while the others go on."""
        if agent := self.agent(name):
            agent.look()
            self.world.clock.advance(TTL_S + 1)
            for other in tuple(self.world.agents):
                if other != name:
                    self.turn(other)
            if self.agent(name) is agent:
                agent.stepped.pool.run()

    def _roles_are_taken_on(self) -> None:
        for swarm in self.world.swarms:
            swarm.settle()


class Faults:
    """What fails."""

    world: World
    witness: Witness
    agent: Callable[[str], SimulatedAgent | None]

    def host(self, name: str) -> SimulatedHost:
        return self.world.hosts[name]

    def time_passes(self, _name: str, number: int) -> None:
        self.world.clock.advance((0.5, 3.0, TTL_S + 1, 70.0)[number % 4])
        for swarm in self.world.swarms:
            swarm.settle()

    def etcd_goes(self, name: str, number: int) -> None:
        """For one agent or, seldom, for all."""
        for each in tuple(self.world.agents) if number % 5 == 0 else (name,):
            if agent := self.agent(each):
                agent.cut_etcd()

    def etcd_comes(self, name: str, number: int = 0) -> None:
        for each in tuple(self.world.agents) if number % 2 == 0 else (name,):
            if agent := self.agent(each):
                agent.heal_etcd()

    def an_answer_is_lost(self, name: str, _number: int) -> None:
        if agent := self.agent(name):
            agent.store.lose_next_answer()

    def cut_from_the_swarm(self, name: str, number: int) -> None:
        """One host, or the LAN falls into two parts; etcd is still reached by all."""
        sides, host = self.world.lan.sides, self.host(name)
        sides[host.engine.address] = len(self.world.names) + 1 + self.world.names.index(name)
        if number % 3 == 0:
            for each, other in enumerate(self.world.hosts.values()):
                sides[other.engine.address] = number >> each & 1

    def reached_again(self, _name: str, _number: int = 0) -> None:
        self.world.lan.sides.clear()

    def dockerd_goes(self, name: str, _number: int) -> None:
        self.host(name).engine.answers = False

    def dockerd_comes(self, name: str, _number: int = 0) -> None:
        """It makes every gateway anew, and docker_gwbridge if there was none."""
        if not self.host(name).engine.answers:
            self.host(name).engine.answers = True
            self._dockerd_starts(name)

    def dockerd_starts_anew(self, name: str, _number: int = 0) -> None:
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

    def registry_goes(self, _name: str, number: int) -> None:
        self.world.lan.registry_answers = bool(number % 2)

    def _dockerd_starts(self, name: str) -> None:
        host = self.host(name)
        with suppress(SwarmkeeperError):
            host.engine.nets.restart()
        for _, member in [host.engine.nets.membership] if host.engine.nets.membership else []:
            member.failed = False
        self.world.note_foreign(name)


class People:
    """What people do, the operator and others."""

    world: World
    witness: Witness
    host: Callable[[str], SimulatedHost]

    def put(self, _name: str, number: int) -> None:
        names = self.world.names
        self.world.put_intent(document(wish(number, len(names)), names))

    def put_bad(self, _name: str, number: int) -> None:
        self.world.put(KEYS.intent, BAD[number % len(BAD)])

    def take_lock(self, _name: str, _number: int) -> None:
        self.world.delete(KEYS.leader)

    def damage(self, name: str, number: int) -> None:
        """Garbage in a key that agents write."""
        specs = sorted(key for key in self.world.written() if key.startswith(KEYS.specs))
        keys = (KEYS.assignment(name), KEYS.verdict, KEYS.status(name), KEYS.accepted, *specs)
        self.world.put(keys[number % len(keys)], b"\x00")

    def deletes(self, name: str, number: int) -> None:
        """A key that agents write, or the document."""
        keys = (KEYS.assignment(name), KEYS.verdict, KEYS.status(name), KEYS.disruption, KEYS.intent)
        self.world.delete(keys[number % len(keys)])

    def changes_a_copy(self, name: str, number: int) -> None:
        """Something is done to one of our copies behind the agent's back."""
        engine, ours = self.host(name).engine.by_hand, sorted(self.host(name).copies())
        if not ours:
            return
        victim = ours[number % len(ours)]
        self.witness.past.altered.add(engine.get(victim)["Id"])
        deeds: tuple[Callable[[], object], ...] = (
            lambda: engine.end(victim, exit_code=137),
            lambda: engine.remove(victim, force=True),
            lambda: engine.pause(victim),
            lambda: engine.rename(victim, f"renamed-{number}"),
            lambda: engine.update(victim, {"Memory": 2**26}),
            lambda: engine.disconnect(victim, OVERLAY),
        )
        self.world.by_hand(name, deeds[number // 7 % len(deeds)])

    def changes_the_bridge(self, name: str, number: int) -> None:
        host = self.host(name)
        deeds = (
            host.kernel.delete_address,
            host.kernel.set_down,
            host.kernel.delete_link,
            partial(host.kernel.change_address, "172.21.0.77/24"),
            partial(_release, host),
        )
        self.world.by_hand(name, deeds[number % len(deeds)])

    def changes_a_node(self, name: str, number: int) -> None:
        """`docker node update`; nobody takes the quorum away by it."""
        member = self.world.member(name)
        if member is None:
            return
        if number % 3 == 0:
            member.availability = ("active", "pause", "drain")[number // 3 % 3]
        elif number % 3 == 1:
            member.labels = {"theirs": str(number)}
        elif self._can_spare(name) and member.role == "manager":
            member.role = "worker"

    def removes_a_worker(self, name: str, _number: int) -> None:
        """`docker node rm --force`: its own engine does not notice."""
        membership = self.host(name).engine.nets.membership
        if membership and not membership[1].in_raft and membership[1] in membership[0].members:
            membership[0].members.remove(membership[1])
            self.witness.altered(self.host(name))

    def takes_a_host_out_of_the_swarm(self, name: str, _number: int) -> None:
        """`docker swarm leave --force`; of a manager only where the others have a quorum without it, also later."""
        host = self.host(name)
        membership = host.engine.nets.membership
        if membership is None or (membership[1].in_raft and not self._can_spare(name)):
            return
        self.witness.altered(host)
        host.engine.by_hand.cut_off(membership[0].networks)
        host.engine.nets.leave()
        self.world.note_foreign(name)

    def runs_a_guest(self, name: str, number: int) -> None:
        """A container that is not ours comes, on the overlay or with a name that one of ours has or could get."""
        engine = self.host(name).engine
        guest = ("their-web", "prod-order-1", "prod-api-1")[number % 3]
        where = {"NetworkMode": OVERLAY} if number % 2 else {}
        self.world.by_hand(name, lambda: engine.run_foreign(guest, **where))

    def a_guest_goes(self, name: str, number: int) -> None:
        engine = self.host(name).engine.by_hand
        guests = sorted(
            raw["Name"][1:]
            for raw in engine.raws.values()
            if raw["Image"] == "sha256:foreign" and raw["Name"] != f"/{GUEST}"
        )
        if guests:
            self.world.by_hand(name, lambda: engine.remove(guests[number % len(guests)], force=True))

    def a_stranger_joins(self, _name: str, _number: int) -> None:
        """A host that no document names joins the swarm by hand, as a worker."""
        record = self.world.record()
        swarm = next((each for each in self.world.swarms if record and each.id == record.swarm_id), None)
        stranger = self.world.stranger
        if swarm is None or stranger.engine.nets.membership:
            return
        with suppress(SwarmkeeperError):
            managers = [f"{each.host.address}:2377" for each in swarm.members if each.in_raft]
            token = swarm.tokens.worker
            stranger.engine.join_swarm(advertise=stranger.engine.address, remotes=managers, token=token)
            stranger.engine.nets.membership[1].labels = {"theirs": "x"}  # type: ignore[index]
            self.world.foreign |= self.world.stranger_now()

    def _can_spare(self, name: str) -> bool:
        """Whether a manager can go and the rest have a quorum with one to spare."""
        membership = self.host(name).engine.nets.membership
        if membership is None:
            return False
        swarm = membership[0]
        voters = [each for each in swarm.members if each.in_raft]
        others = [each for each in swarm.reached() if each.in_raft and each is not membership[1]]
        return 2 * (len(others) - 1) > len(voters)


def _release(host: SimulatedHost) -> None:
    for _, endpoint in host.engine.nets.endpoints(GWBRIDGE):
        host.engine.nets.release(GWBRIDGE, endpoint)
