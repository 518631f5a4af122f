"""Clients that see what users of the services would see while something is changed underneath them.

`knock` and `line` are programs by themselves, with nothing but the standard library: they run where the client would
be, on the LAN or in a container's own network, started and read out by `clients`.
"""
