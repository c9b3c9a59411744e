"""The service: HTTP in front of a registry's database, blobs and static documents."""
