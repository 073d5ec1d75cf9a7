"""The command line: one file a group of commands, shared options, and how results, errors and signals leave."""
