"""What the steps of the main loop (loop.py) use once something fails."""
