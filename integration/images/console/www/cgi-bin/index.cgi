#!/bin/sh
# A page for people; 80 inside, published as 8080.
exec reply
