"""Facts about models, servers, endpoints and parameters; no behavior of this package."""
