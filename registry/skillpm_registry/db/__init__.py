"""The catalogue's file: how it is locked, opened, made, and brought to the current schema."""
