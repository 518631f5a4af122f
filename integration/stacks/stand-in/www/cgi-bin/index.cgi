#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\nstand-in for %s\n' "$NAME"
