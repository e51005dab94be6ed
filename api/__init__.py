"""THE DOORS: people, machines, provider hooks, the command line."""
