"""The basis of atomic changes: atomic writes, locks with a named holder, and process identity."""
