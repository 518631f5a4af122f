"""The running agent: its loop, what wakes it, who carries the steps out, and how it is wired together."""
