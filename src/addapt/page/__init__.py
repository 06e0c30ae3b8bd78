"""The page that teaches in the browser: its files, and a server for this machine alone."""
