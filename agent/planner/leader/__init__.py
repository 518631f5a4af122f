"""The decisions of the leader for all hosts."""
