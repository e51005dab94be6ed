"""Honest local servers for tests and the demo."""
