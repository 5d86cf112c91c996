"""The pages of pledges, a module for each noun."""
