"""What runs inside a container: `agent.py`, sent there as text. Nothing here imports diffufix."""
