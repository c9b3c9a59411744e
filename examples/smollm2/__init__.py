"""SmolLM2-135M-Instruct as a model folder, converted from the GGUF of an installed package."""
