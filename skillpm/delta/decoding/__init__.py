"""Open packs and compose base and deltas into the result."""
