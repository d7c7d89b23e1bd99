"""Guessing passwords: in which order, in whose turn, in which process."""
