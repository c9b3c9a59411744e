"""The router: decides by the base's features of a text which installed skill answers, if any."""
