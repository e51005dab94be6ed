"""THE BOOKS: slots, busy time, outbox, pauses; settings, database, clock."""
