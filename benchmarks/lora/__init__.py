"""LoRA adapters: exact packs and PEFT merges compared."""
