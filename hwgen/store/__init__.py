"""What is read from files and written to them: packages, boards, archs, YAML, data that ships, and safe writing."""
