"""What a verification found: tables, agreement with the float model, pictures."""
