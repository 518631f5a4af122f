#!/bin/sh
# The end of the chain: answers by itself.
exec reply
