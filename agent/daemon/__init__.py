"""The running agent: its loop, its triggers, the dispatcher of its steps, and their composition."""
