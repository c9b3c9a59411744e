"""Codecs: each a pure pair encode/decode of one tensor's delta, chunk by chunk."""
