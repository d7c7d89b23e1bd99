from submission_absent import test_everyone_gets_in  # noqa: F401
