"""Compiled inner loops (numba) of the codecs, beside their reference in numpy (ADR 36)."""
