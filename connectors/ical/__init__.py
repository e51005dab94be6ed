"""iCalendar (RFC 5545) and scheduling (RFC 5546) as values: read, expanded, written; no network."""
