"""The vocabulary: names, versions, requirements, digests and the documents made of them.

Pure: values are parsed once, immutable and ordered; no files, no clock, no randomness.
"""
