"""States of a cluster with real faults: how each is brought about and undone, and how it has to be shown."""

from integration.states import documents, engines, hosts, stores
from integration.states.state import State

STATES: tuple[State, ...] = (*documents.STATES, *engines.STATES, *hosts.STATES, *stores.STATES)
