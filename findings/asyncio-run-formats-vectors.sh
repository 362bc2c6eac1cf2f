#!/bin/sh
# CPython 3.11, numpy 2.4.6: asyncio.run(main()) in the main thread, where main() returns a vector of 1,000 weights.
#
# Guess: asyncio.run hands the result on and does not look at it.
# Seen:  every number of the vector is turned into text twice. When asyncio.run takes its SIGINT handler back, it calls
#        signal.getsignal and signal.signal; both try the handler as a member of signal.Handlers, and the ValueError
#        that this raises inside has the handler's repr in its text: with it that of the finished task, and of its
#        result. It takes the handler back only where it has put one in place: where Python's own was, so not in what a
#        shell starts in the background, with SIGINT ignored. A dataclass of models costs as much as printing it; a repr of one's own that is short avoids it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import signal
import sys

import numpy as np

print("CPython", sys.version.split()[0])
formatted = 0


def counted(number):
    global formatted
    formatted += 1
    return str(number)


async def main():
    return np.zeros(1000)


signal.signal(signal.SIGINT, signal.default_int_handler)  # this script may have been started in the background
with np.printoptions(formatter={"float": counted}):
    asyncio.run(main())
print("numbers turned into text:", formatted)
if sys.version_info[:2] == (3, 11):
    assert formatted >= 2000, "changed: the result is no longer formatted"
PYTHON
