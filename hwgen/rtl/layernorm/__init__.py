"""LayerNorm: residual rows to rows of the norm buffer."""
