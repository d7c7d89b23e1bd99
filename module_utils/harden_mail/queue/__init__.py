"""The mail queue: look, select, quarantine, restore.

``engine.py`` and ``listing.py`` are what the modules call; ``postfix`` and ``qmail`` are the MTAs' queues
(``backend.py`` says what a queue must be able to do); ``quarantine.py`` is where messages are kept outside the queue.
"""
