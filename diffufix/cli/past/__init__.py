"""Commands about runs that are over: `runs`, `apply`, `undo`."""
