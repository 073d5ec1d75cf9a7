"""Tokens that leave: importance of every position as scores go by, the choice, and the row of those that leave."""
