"""What observes calls inside the project's interpreter; copied into a sandbox, never imported."""
