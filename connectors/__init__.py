"""THE OUTSIDE: calendars and mailboxes. Knows no database and no settings."""
