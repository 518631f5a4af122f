"""The lease: the session that keeps it, the presence that hangs on it, and the leader lock."""
