"""Flows: one verb a file; a pure plan where there is something to plan, then a short apply."""
