"""How what is desired differs from what is observed: pure, and decided upon, reported and counted above."""
