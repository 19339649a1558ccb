"""The wire formats: requests to bytes, bytes to replies. No I/O, no HTTP, no framework."""
