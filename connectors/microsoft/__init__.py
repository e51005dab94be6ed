"""Microsoft Graph calendars."""
