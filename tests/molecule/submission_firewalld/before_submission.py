from submission_before import test_everyone_gets_in  # noqa: F401
