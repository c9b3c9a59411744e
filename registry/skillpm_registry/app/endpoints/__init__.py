"""The endpoints: functions from a `ServiceCall` to a `ServiceReply`, which run in threads."""
