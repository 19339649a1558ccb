"""Token counts, before anything is sent."""
