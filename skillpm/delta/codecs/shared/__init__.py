"""What several codecs share: protocols, parts, integer coding, exact products, estimates."""
