"""The swarm, from the host's side: the way in, the way out, and who acts in the host's name."""
