"""Size and speed of lossless packs compared with general compressors and ZipNN."""
