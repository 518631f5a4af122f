"""The way of a service from one spec to another."""
