"""What makes a change whole: atomic writes, a lock with a named holder, a journal of intents."""
