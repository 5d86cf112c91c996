"""What was seen on the ground. Empty for now, and not installed: reports and incidents come here (docs/adr/0006)."""
