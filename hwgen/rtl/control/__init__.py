"""The frame of a run: registers, program fetch, checks, dispatch, progress, performance counters, start and end."""
