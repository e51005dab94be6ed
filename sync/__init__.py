"""IN AND OUT: how the books meet the calendars."""
