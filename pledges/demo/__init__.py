"""The demo's plan: what nations said in public in 2025, and an invented need with invented pledges to answer it."""
