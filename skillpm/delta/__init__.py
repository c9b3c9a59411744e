"""Deltas: codecs, schemes, composition. Pure functions of arrays; bytes are read through ports."""
