"""The dry run: the cluster as data, and the effect of each step on it."""
