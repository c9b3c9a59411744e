"""Ablations: what each part of the lossy codecs saves, on one fine-tune."""
