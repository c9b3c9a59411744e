"""The catalogue's file: locking, opening, creating and migrating it."""
