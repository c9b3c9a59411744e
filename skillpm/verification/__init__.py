"""Recompute the statements of a manifest, in one file for each kind of statement (ADR 25)."""
