"""Here so that the tests of `merging`, below, find the worlds of this folder."""
