"""Verification as a service: candidates come over HTTP, verdicts with their evidence go back."""
