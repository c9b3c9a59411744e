"""Merging methods: how several deltas of one tensor become one. Pure, and under law 3."""
