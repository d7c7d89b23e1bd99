"""Restricting TCP ports to source addresses, in the terms of each firewall.

``sources.py`` turns what people write into networks; ``plan.py`` holds what a change is; one file a
backend (``iptables.py``, ``nftables.py``, ``firewalld.py``) says which changes a host needs; ``engine.py``
shows, makes, verifies and takes back changes, the same way for all.
"""
