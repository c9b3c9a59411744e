"""The resolver chooses one release of each required skill, or explains why that is impossible.

The input is a `Question` (requirements, base, lock) and a `Catalogue` of releases. The resolver
has no access to registries, networks, files or the clock. PubGrub is implemented by `nab-resolver`,
which only this package imports.
"""
