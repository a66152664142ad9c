"""The most memory that this process has used, for scripts that tests run."""

import re
import resource
import sys
from pathlib import Path


def peak_bytes():
    """Peak of the resident memory.

    Linux hands ru_maxrss on to a process from the one that started it, which may have been larger: not so VmHWM.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
