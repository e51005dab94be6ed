"""Pages for people: rendered here, readable without JavaScript, in seven languages."""
