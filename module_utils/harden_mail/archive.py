"""Programs that live on a host without Ansible: zip archives that Python runs (PEP 441), made of our own modules."""

import ast
import importlib.util
import io
import os
import sys
import zipfile
from types import ModuleType
from typing import Any, Dict

# Unversioned, so that it outlives the distribution's next Python.
PYTHON = "/usr/bin/python3"

MAIN = "import sys\n\nfrom harden_mail{0} import main\n\nsys.exit(main())\n"


def build_program(module: ModuleType) -> str:
    """A program, the same for the same code, that calls a module's ``main()`` and exits with what it returns.

    What is in it is what this module was loaded with: Ansible has sent it anyway.

    :param module: of ours, imported in the usual way (so that Ansible sees it)
    :returns: its bytes by surrogateescape, as ``System`` reads and writes files
    """
    prefix = __name__.rsplit(".", 1)[0]
    sources = {"__main__.py": MAIN.format(module.__name__[len(prefix) :])}
    for name, source in _sources(module.__name__, prefix).items():
        path = name[len(prefix) - len("harden_mail") :].replace(".", "/")
        sources[path + ("/__init__.py" if hasattr(sys.modules[name], "__path__") else ".py")] = source
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(sources):
            about = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            archive.writestr(about, sources[path])
    python = PYTHON if os.path.realpath(PYTHON) == os.path.realpath(sys.executable) else sys.executable
    return "#!{0} -I\n".format(python) + buffer.getvalue().decode("utf-8", "surrogateescape")


def _sources(name: str, prefix: str) -> Dict[str, str]:
    """{name: source} of a module and all of ours that it imports, whatever else is loaded."""
    found: Dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found or not (name + ".").startswith(prefix + "."):
            continue
        module: Any = sys.modules[name]
        found[name] = source = module.__spec__.loader.get_source(name) or ""
        waiting.append(name.rpartition(".")[0])
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), module.__package__)
                waiting.append(base)
                waiting += [base + "." + alias.name for alias in node.names if base + "." + alias.name in sys.modules]
    return found
