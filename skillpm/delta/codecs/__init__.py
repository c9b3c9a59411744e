"""Codecs: each a pair of pure functions that encode and decode one tensor's delta, in chunks."""
