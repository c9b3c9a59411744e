"""Live skills: installed packs that run beside the weights of a base, without being merged."""
