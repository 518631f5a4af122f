"""The swarm, from the leader's side: its record, its nodes and their roles, and who leaves it."""
