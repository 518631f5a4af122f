"""What the leader decides for all hosts."""
