"""The queue alert: counts the mail queue every few minutes; tells people by ways that a clogged queue can't hold up.

``program.py`` runs on the host without Ansible; ``install.py`` puts it there. ``settings.py`` is what its configuration
file may say, ``conditions.py`` when there is an alarm, ``store.py`` what it remembers, ``notice.py`` the text,
``ways.py`` how it gets out.
"""
