"""LATER: everything that doesn't happen in a request."""
