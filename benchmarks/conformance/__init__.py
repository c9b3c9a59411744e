"""Every architecture of a list through the whole loop: pack, install, graft, adapters, export."""
