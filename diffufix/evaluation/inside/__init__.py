"""What runs in a sandbox beside the programs that are judged: standard library only."""
