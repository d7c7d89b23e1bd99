"""Postfix."""

from .backend import Queue


class PostfixQueue(Queue):
    name = "postfix"
