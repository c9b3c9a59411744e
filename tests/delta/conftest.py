"""Makes the helper modules of this folder importable in the tests of `merging`."""
