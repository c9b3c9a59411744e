"""LoRA adapters: exact packs compared with PEFT merges."""
