"""After `state: absent`: as before."""

from before_port_25 import test_auth_is_offered, test_mail_is_taken  # noqa: F401
