"""What monitors find in the demo: agreements, sites, sources, and reports that are invented and marked illustrative."""
