"""`diffufix serve` and `diffufix mcp`: what other programs ask."""
