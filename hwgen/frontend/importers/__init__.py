"""Trained networks from other projects: key names and arrays of a checkpoint become a float model of this one."""
