"""Figures of a registry that is served over HTTP."""
