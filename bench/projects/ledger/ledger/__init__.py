"""A small book of accounts."""
