"""Images and videos: fetched, decoded, measured and counted."""
