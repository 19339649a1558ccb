"""What stands in images: text that the extra `ocr` reads, and what its geometry says."""
