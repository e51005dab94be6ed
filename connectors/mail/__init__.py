"""Scheduling mail: out by SMTP or into a folder, in by IMAP or LMTP (RFC 6047)."""
