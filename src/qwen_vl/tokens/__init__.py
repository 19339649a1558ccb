"""Token takes precedence over anything is sent."""
