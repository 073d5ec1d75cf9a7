"""Cycles, traffic and resources of one image, calculated without running it: a model of the machine unit by unit."""
