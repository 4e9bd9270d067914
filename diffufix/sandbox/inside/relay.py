# mypy: ignore-errors
"""Start a command and hand on its stdout as lines of base64: E2B's streams carry text only.

Python 3.8 and later, standard library only; sent as text. `python -c RELAY COMMAND...`; stdin and
stderr go to the command as they are.
"""

import base64
import os
import subprocess
import sys


def main():
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    while True:
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        line = memoryview(base64.b64encode(data) + b"\n")
        while line:
            line = line[os.write(1, line) :]
    sys.exit(process.wait() & 0xFF)


if __name__ == "__main__":
    main()
