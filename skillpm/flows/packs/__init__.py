"""Find, read, compare and publish packs."""
