"""firewalld itself: whether it runs, and its runtime."""

import json
import re
from typing import Any, Dict, Optional, cast

from ...changes import Run
from ...system import System
from . import agent


class Daemon:
    """firewalld on a host."""

    def __init__(self, system: System):
        self.system = system
        self._state_read = False
        self._state = None

    @property
    def state(self) -> Optional[Dict]:
        """Runtime as :func:`agent.read` gives it, read once; None when firewalld does not run."""
        if not self._state_read:
            self._state_read = True
            # Asking over D-Bus would start a firewalld that is stopped.
            if self.system.which("firewall-cmd") and self.unit["ActiveState"] == "active":
                step = self.agent_step("read")
                self._state = json.loads(self.system.run(list(step.argv), stdin=step.stdin).out)
        return self._state

    @property
    def unit(self) -> Dict[str, str]:
        """UnitFileState and ActiveState of firewalld.service."""
        command = ["systemctl", "show", "-p", "UnitFileState,ActiveState", "firewalld.service"]
        lines = self.system.run(command, check=False).out.splitlines()
        return dict({"UnitFileState": "", "ActiveState": ""}, **dict(line.split("=", 1) for line in lines))

    def agent_step(self, command: str) -> Run:
        """The step that runs a command of the agent, by the interpreter of firewall-cmd."""
        first_line = (self.system.read(cast(str, self.system.which("firewall-cmd"))) or "").split("\n", 1)[0]
        found = re.match(r"#!\s*(/\S*python\S*)", first_line)
        program = cast(Any, agent.__loader__).get_source(agent.__name__)
        return Run((found.group(1) if found else "python3", "-", command), program)
