"""Where nobody declares a backend, on hosts with firewalld."""

from submission_auto import (  # noqa: F401
    as_found,
    code_on_hosts,
    lab,
    test_a_hardened_host_moves_to_the_table_and_is_never_open,
)
