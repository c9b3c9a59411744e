"""The store: the client's content-addressed blobs."""
