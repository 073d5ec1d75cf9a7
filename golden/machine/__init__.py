"""The golden machine: runs programs on integer buffers, one after the other, and refuses unordered reads."""
