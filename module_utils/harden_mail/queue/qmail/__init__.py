"""The queue of qmail."""
