"""PDF documents: `document` makes images of their pages, each behind a label.

`worker` renders in a separate process, which `renderer` starts, asks and ends: PDFium serves one
thread at a time, cannot be interrupted, and crashes on some damaged files.
"""
