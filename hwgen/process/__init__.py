"""Other programs: commands that end with this process, and how to install what is missing."""
