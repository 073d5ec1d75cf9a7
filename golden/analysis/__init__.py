"""What the arithmetic can do: widths of sums, errors of tables and steps, as tables of docs/numerics.md."""
