"""Weight files, where they come from, and the networks of the zoo."""
