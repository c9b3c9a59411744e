"""Live skills: installed packs beside the weights of a running base, never merged into them."""
