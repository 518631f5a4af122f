#!/bin/sh
# A service on a port of its own kind.
exec reply
