"""From a package back to float weights, under the key names that other programs read."""
