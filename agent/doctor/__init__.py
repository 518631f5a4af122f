"""`doctor`: checks what a host and its cluster need, before an agent has run and on a live cluster.

`collect` looks, the pure functions of `checks` decide, `examine` runs them side by side. A check that could not look is
skipped with the reason, and never OK.
"""
