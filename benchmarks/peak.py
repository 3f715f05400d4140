"""Run a command and print what it needed: peak memory, CPU and wall seconds, exit status, as one JSON object.

A process of its own, because Linux counts the memory of whoever starts a program as that program's first peak; this one
is small. The command's own output goes to stderr.
"""

import json
import os
import subprocess
import sys
import time

started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
figures = {
    "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    "cpu_s": usage.ru_utime + usage.ru_stime,
    "wall_s": time.perf_counter() - started,
    "status": process.returncode,
}
print(json.dumps(figures))
