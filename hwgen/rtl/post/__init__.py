"""The post-processor: sums to codes, GELU, residual, and the address where each row goes."""
