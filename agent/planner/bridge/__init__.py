"""docker_gwbridge, from the host's side and the leader's: how it becomes as agreed, and when a host may change it."""
