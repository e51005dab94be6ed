"""Who may sign in, by what proof, and for how long: users, their sessions, passkeys and accounts elsewhere."""
