"""For all unit tests: a busy machine is no failure, and no thread outlives its test."""

import hypothesis
from threads import all_threads_end

__all__ = ["all_threads_end"]

hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")
