"""Uploads, publishing, numbering and rendering, and garbage collection (contract, section 4)."""
