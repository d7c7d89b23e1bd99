from submission_rebooted import (  # noqa: F401
    test_allowed_client_got_in_again,
    test_refused_client_never_got_in,
)
