"""Reading and writing principals, namespaces, tokens and rules of trusted publishing."""
