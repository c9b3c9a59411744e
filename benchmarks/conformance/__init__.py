"""Pack, install, graft, adapters and export for every architecture of a list."""
