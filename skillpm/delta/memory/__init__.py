"""Deltas between dictionaries of tensors, without files."""
