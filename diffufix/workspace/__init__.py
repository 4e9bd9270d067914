"""Where the code of a project runs: the choice of a sandbox, its image, and the suite in it."""
