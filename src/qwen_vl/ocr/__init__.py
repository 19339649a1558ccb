"""Results of the OCR tasks, and readers of images and PDF pages."""
