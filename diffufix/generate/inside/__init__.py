"""What runs in the project's interpreter: the examples of docstrings as tests."""
