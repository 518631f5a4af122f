"""Programs that compare Swarmkeeper with its alternatives, side by side on one lab, and print ratios."""
