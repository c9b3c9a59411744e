"""The vocabulary: names, versions, requirements, digests, and the documents that contain them.

Values are parsed once, immutable and ordered. The package does not access files, the clock or
random numbers.
"""
