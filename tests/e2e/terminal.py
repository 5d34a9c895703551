"""Plays a person at a terminal: runs a command on a pseudo-terminal, and does what the steps on standard input say.

A step is a line of JSON: ["expect", TEXT] waits until the terminal shows it, ["send", TEXT] types, ["size", ROWS, COLUMNS]
changes the window, ["end"] waits for the command's end. Prints a line of JSON: what was shown, the exit code, and whether the
terminal was left as it was found.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 90

outer, inner = pty.openpty()
fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(inner)
child = os.fork()
if child == 0:
    os.close(outer)
    os.setsid()
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
    for stream in range(3):
        os.dup2(inner, stream)
    os.execv(sys.argv[1], sys.argv[1:])

shown = b""
seen = 0


def read(deadline, what):
    global shown
    if not select.select([outer], [], [], max(0, deadline - time.monotonic()))[0]:
        raise SystemExit(f"waited too long for {what!r}; shown: {shown!r}")
    try:
        shown += os.read(outer, 65536)
    except OSError:
        raise SystemExit(f"the terminal was closed before {what!r}; shown: {shown!r}")


code = None
for line in sys.stdin:
    step, *rest = json.loads(line)
    deadline = time.monotonic() + PATIENCE
    if step == "expect":
        text = rest[0].encode()
        while text not in shown[seen:]:
            read(deadline, rest[0])
        seen = shown.index(text, seen) + len(text)
    elif step == "send":
        os.write(outer, rest[0].encode())
    elif step == "size":
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", *rest, 0, 0))
    elif step == "end":
        while code is None:
            # What it shows last must not hold it up.
            if select.select([outer], [], [], 0.02)[0]:
                shown += os.read(outer, 65536)
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise SystemExit(f"it did not end; shown: {shown!r}")
print(json.dumps({"shown": shown.decode(errors="replace"), "code": code, "restored": termios.tcgetattr(inner) == before}))
