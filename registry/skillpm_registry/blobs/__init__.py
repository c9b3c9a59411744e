"""Blobs behind one protocol: objects in a folder or in a bucket, named by their digest."""
