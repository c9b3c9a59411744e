"""Registries over HTTP: documents, blobs, uploads, and the requests that they need."""
