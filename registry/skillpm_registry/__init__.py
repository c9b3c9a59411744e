"""The registry, which stores releases: a catalogue in SQL, and content-addressed blobs in files.

The embedded registry is a folder with `registry.db` (the catalogue),
`blobs/sha256/<2 hex>/<64 hex>`, `tmp/` for unfinished files, and `registry.lock`, which a writer
locks.
"""
