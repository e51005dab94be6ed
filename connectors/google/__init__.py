"""Google Calendar v3."""
