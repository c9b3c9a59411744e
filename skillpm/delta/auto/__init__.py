"""The `auto` scheme: candidates for every tensor, and the set of them that spends bytes best."""
