"""The endpoints. Each is a plain function from a `ServiceCall` to a `ServiceReply`, which runs in a thread."""
