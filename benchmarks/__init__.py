"""What whole images cost on which machine: measured in simulation, kept in results.json, checked for getting worse."""
