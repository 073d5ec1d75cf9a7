"""The host side: one driver class for silicon and simulation; needs NumPy and hwgen.spec only."""
