"""Search in folders of PDF documents, images and videos, and answers that cite what was found."""
