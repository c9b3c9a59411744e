<<<<<<< HEAD
"""Knowledge transfer: a capability of a source model becomes a skill of the target."""
=======
"""Transfer of a capability from source models to the base: documents that it reads (ADR 51)."""
>>>>>>> s20-checks
