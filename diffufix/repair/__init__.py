"""From failing tests to a confirmed patch: the loop, its searches, and applying the patch."""
