"""IO instructions: function tables, position table, patches of the image, and the result."""
