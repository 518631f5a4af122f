"""The only access to the outside."""
