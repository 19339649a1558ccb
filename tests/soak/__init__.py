"""A long run against a server that misbehaves: `make soak`."""
