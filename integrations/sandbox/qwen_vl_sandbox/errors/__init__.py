"""Errors in the forms of the service and the servers."""
