"""A notebook for a vegetable garden."""
