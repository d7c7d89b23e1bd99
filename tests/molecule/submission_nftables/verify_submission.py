from submission_verify import (  # noqa: F401
    test_allowed_client_gets_in,
    test_allowed_client_logs_in,
    test_foreign_rules_are_the_same,
    test_host_reaches_itself,
    test_open_connection_is_cut,
    test_other_services_are_open_to_everyone,
    test_refused_client_does_not_get_in,
    test_who_may_connect_is_for_root_alone,
)
