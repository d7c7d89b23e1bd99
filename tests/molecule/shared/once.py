"""A mark for tests of verify_*.py (run before and after the reboot) that take long and tell nothing new after it."""

import pytest
from hosts.lab import Lab

once = pytest.mark.skipif(Lab.current().read("reboot") is not None, reason="was done before the reboot")
