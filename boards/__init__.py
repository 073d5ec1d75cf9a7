"""Board files (YAML), one per board; ``hwgen.spec.board`` reads them."""
