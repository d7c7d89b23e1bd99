"""Finding out what a mail host is: one file a subject, put together by ``facts.py``.

Each ``find_…`` answers with two things: the value, in the shape that ``mail_host_facts`` documents, and the
evidence, a dict from dotted path inside the value to a short text on how that was found. Nothing here changes a
host, and a program that fails only leaves its value unknown (None).
"""
