"""Training: models from scratch, and models that learn from the tests of a project."""
