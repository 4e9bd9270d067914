"""Function bodies from signature and docstring: a job of the loop in `repair`."""
