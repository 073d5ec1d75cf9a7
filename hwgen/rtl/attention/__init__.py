"""Attention between its two products: softmax statistics of a query row and the factor that they leave."""
