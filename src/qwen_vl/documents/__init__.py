"""Document parsing: pages of images and PDF files as typed blocks, with boxes in pixels."""
