"""The kinds of files that reports come in: one module for each layout."""
