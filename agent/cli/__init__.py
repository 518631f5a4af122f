"""What is typed: one module for each command, thin."""
