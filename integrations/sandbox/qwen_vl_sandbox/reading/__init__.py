"""Request bodies, read as the service and the servers read them."""
