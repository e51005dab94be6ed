"""THE PROMISE: who has which slot, who waits."""
