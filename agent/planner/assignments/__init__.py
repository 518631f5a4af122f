"""What the leader tells each host to run."""
