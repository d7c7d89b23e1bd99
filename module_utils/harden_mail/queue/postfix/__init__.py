"""The queue of Postfix."""
