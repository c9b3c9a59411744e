"""Size and speed of lossless packs beside general compressors and ZipNN."""
