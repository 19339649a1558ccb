"""Images and videos of nodes, as they were stored."""
