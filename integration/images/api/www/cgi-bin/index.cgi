#!/bin/sh
# What clients on the LAN call: asks order.
exec reply order
