"""How a command ends: 0 good, else one of these; a signal ends it with 128 + its number."""

MISMATCH = 1  # RTL and golden differ, or the machine stopped with an error
BAD_INPUT = 2  # what the user can put right, or a missing tool
