"""Figures of a registry that is served (registry.md, section 9)."""
