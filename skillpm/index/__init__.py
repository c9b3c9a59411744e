"""The index: the client's view of a registry."""
