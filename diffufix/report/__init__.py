"""What people and programs read: the terminal, the live display, JSON and HTML."""
