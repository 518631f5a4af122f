"""The host's own copies, from the assignment to what its dockerd has to do."""
