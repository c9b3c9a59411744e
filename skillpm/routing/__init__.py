"""The router: which installed skill a text is for, or none, by the base's own features of it."""
