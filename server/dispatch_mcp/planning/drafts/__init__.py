"""Plans drafted from a request."""
