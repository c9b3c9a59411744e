"""What serves releases: a catalogue in SQL and blobs by digest beside it.

The embedded registry is a folder: `registry.db`, `blobs/sha256/<2 hex>/<64 hex>`, `tmp/` for what
is being written, and `registry.lock`, which a writer holds.
"""
