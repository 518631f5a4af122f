"""The plan of a host for itself: docker_gwbridge, membership, replicas."""
