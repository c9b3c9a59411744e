"""Merging methods: combine several deltas of a tensor into one. Pure functions that keep law 3."""
