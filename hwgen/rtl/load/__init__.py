"""LOAD_WEIGHTS: slices of the weight stream, one AXI port each, into the rings."""
