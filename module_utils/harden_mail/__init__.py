"""The logic of harden-mail: plain Python 3.6 and later, standard library only, no Ansible import.

Modules in ``library/`` take arguments and hand them here. Everything that touches a host goes through
:class:`harden_mail.system.System`, so that unit tests can hand in a directory tree and a table of commands.
"""
