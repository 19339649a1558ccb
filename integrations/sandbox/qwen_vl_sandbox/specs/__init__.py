"""Facts about models and servers, from their documentation."""
