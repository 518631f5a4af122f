"""What things are: frozen dataclasses, free of I/O."""
