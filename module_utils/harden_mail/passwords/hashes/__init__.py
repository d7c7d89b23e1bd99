"""Stored passwords: what they were made by, and how to try a guess at them."""
