"""Deltas: codecs, schemes, composition. Pure functions of arrays; bytes come through ports."""
