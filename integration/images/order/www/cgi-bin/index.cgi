#!/bin/sh
# An order is billed: asks billing.
exec reply billing
