"""Shipped weights and packages: float and quantised m3vit-micro."""
