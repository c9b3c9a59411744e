"""SkillPack files: an OCI image layout in an uncompressed tar."""
