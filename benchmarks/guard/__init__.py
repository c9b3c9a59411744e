"""Does the guard stop harmful changes and name the right skill? A benchmark."""
