"""What people can do to a world."""

from contextlib import suppress
from functools import partial

from agent.errors import SwarmkeeperError
from agent.model.intent import GWBRIDGE
from tests.properties.simulation.basic_events import BasicEvents, change
from tests.properties.simulation.documents import BAD, OVERLAY, document, wish
from tests.properties.simulation.witness import Witness
from tests.properties.simulation.world import GUEST, World
from tests.support.simulated_cluster import KEYS, SimulatedHost


class People(BasicEvents):
    """What people do, the operator and others."""

    world: World
    witness: Witness

    def put(self, _name: str, number: int) -> None:
        names = self.world.names
        self.world.put_intent(document(wish(number, len(names)), names))

    def put_bad(self, _name: str, number: int) -> None:
        self.world.put(KEYS.intent, BAD[number % len(BAD)])

    def deletes(self, name: str, number: int) -> None:
        """A key that agents write, or the document."""
        keys = (KEYS.assignment(name), KEYS.verdict, KEYS.status(name), KEYS.disruption, KEYS.intent)
        if keys[number % len(keys)] == KEYS.disruption:
            self.witness.disruption_is_deleted()
        self.world.delete(keys[number % len(keys)])

    def deletes_a_presence(self, name: str, _number: int) -> None:
        """Its agent lives on, with its lease."""
        self.world.delete(KEYS.presence(name))

    def changes_a_replica(self, name: str, number: int) -> None:
        """Something is done to one of our replicas behind the agent's back."""
        host, ours = self.host(name), sorted(self.host(name).replicas())
        if not ours:
            return
        victim = ours[number % len(ours)]
        self.witness.past.altered.add(host.engine.by_hand.get(victim)["Id"])
        self.world.by_hand(name, change(host, victim, OVERLAY, number, deed=number // 7))

    def misgives(self, name: str, _number: int) -> None:
        """A swarm restored from an old backup gives the next container of a host an address that is in use there."""
        self.host(name).engine.by_hand.misgives = True

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
        if self.remove_worker(name):
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
