"""Where accounts and their passwords are kept: one file a store, each a class beside ``store.Store``.

``registry.py`` knows them all. A store reads only, one account at a time, and tells what it could not read.
"""
