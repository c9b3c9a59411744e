"""Code that several codecs share: protocols, parts, integer coding, products, estimates."""
