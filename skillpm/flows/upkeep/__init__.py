"""Keep the home in order: cache, garbage collection, doctor."""
