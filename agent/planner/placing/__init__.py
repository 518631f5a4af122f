"""On which hosts copies run, as the leader chooses."""
