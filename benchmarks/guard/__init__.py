"""Whether the guard stops harmful changes and names the right skill."""
