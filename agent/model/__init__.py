"""The data model: frozen dataclasses, free of I/O."""
