"""Qmail."""

from .backend import Queue


class QmailQueue(Queue):
    name = "qmail"
