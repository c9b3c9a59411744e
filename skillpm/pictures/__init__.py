"""Pictures of packs, as PNG. Needs the `plot` extra (matplotlib)."""
