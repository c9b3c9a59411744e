"""The forecast of interference, compared with the measured cost of merging."""
