"""Knowledge transfer: a capability of a source model becomes a skill of the target."""
