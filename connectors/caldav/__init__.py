"""CalDAV (RFC 4791): one provider, its discovery, its quirks."""
