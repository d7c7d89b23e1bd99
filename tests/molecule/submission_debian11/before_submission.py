from submission_before import (  # noqa: F401
    test_connections_are_held_open,
    test_everyone_gets_in,
    test_foreign_rules_are_there,
)
