"""The store: the client's blobs, by digest."""
