"""The forecast of interference beside what merging really costs."""
