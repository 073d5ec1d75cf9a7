"""Memories: activation buffers of rows or banks, and the rings that weights stream through."""
