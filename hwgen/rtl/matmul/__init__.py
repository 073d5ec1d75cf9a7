"""The compute unit: instructions to loops, operands, the multiply-accumulate array, and tags beside the sums."""
