"""How files from outside become rows, for every app: opened, read, mapped, tried, approved, committed, undone."""
