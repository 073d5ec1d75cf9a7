"""Networks of others, made by their own packages: what is imported agrees, and the rest is refused by name."""
