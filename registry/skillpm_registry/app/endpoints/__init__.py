"""The endpoints. Each is a plain function from a `Call` to a `Reply`, which runs in a thread."""
