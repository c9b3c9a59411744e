"""Build a SkillPack from a base and a tuned model."""
