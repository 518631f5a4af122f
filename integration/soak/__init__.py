"""Random faults on a lab for a while, a client that asks all the time, and invariants that are looked at each second.

`faults` brings them about and undoes them, `client` is who uses the services, `watch` looks at the hosts, `history`
reads afterwards what was written to etcd, `run` puts it together. The same seed makes the same faults and edits.
"""
