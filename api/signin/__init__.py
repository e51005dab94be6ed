"""How people sign in, stay signed in and sign out: pages that need no JavaScript, but for passkeys."""
