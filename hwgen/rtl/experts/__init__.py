"""Mixture of experts: logits to the best k, their scores, and a queue of tokens for each expert."""
