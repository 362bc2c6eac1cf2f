#!/bin/sh
# CPython 3.9 to 3.12: Thread.join() is interrupted by Ctrl-C, and called again to wait for an orderly end.
#
# Guess: it waits until the thread has ended, as the first call did; is_alive() is True until then.
# Seen:  it returns at once, and is_alive() is False, while the thread works on: what interrupts a join marks the thread
#        as ended. So what follows a cancellation (removing a folder, closing a file) meets a thread that still uses it.
#        3.13 waits. An Event that the thread sets at its end can be waited for again in all of them.
set -eu
python3 - <<'PYTHON'
import signal
import sys
import threading
import time

print("CPython", sys.version.split()[0])
signal.signal(signal.SIGINT, signal.default_int_handler)  # this script may have been started in the background
ended = threading.Event()
thread = threading.Thread(target=lambda: (time.sleep(2), ended.set()), daemon=True)
thread.start()
main = threading.main_thread().ident
threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
try:
    thread.join()
except KeyboardInterrupt:
    print("interrupted")
thread.join()
print("joined again; is_alive:", thread.is_alive(), "- has ended:", ended.is_set())
if (3, 9) <= sys.version_info[:2] <= (3, 12):
    assert not ended.is_set() and not thread.is_alive(), "changed: the second join waits"
PYTHON
