"""Hosts on one machine: the real systemd as PID 1, stock docker.service and etcd.service, a LAN of their own.

Start at `integration.lab.lab.Lab`. This file imports nothing: the programs that become a host
(`bootloader`, `lan_holder`) run without the site packages and must start in milliseconds.
"""
