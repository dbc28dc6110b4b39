"""The process that workers are forked from: it imports and loads everything once and runs no thread.

Forking the parent is unsafe (its libraries run threads); starting each worker anew takes seconds (importing
LlamaIndex). This process is started, not forked, and begins from nothing; a worker forked from it is ready in
milliseconds and shares its memory. It ends, with all its workers, when the parent closes the socket or dies.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
from typing import Any, Never

from ragloom.process_pool.messages import COMMAND, ENDED, FORKED, Kind, Wire, frame
from ragloom.process_pool.worker_process import die_with_parent, serve

_PATIENCE = 2.0
"""Seconds that a killed worker has to end. One that waits for a dead network disk does not, whatever is done."""


def main(descriptor: int) -> Never:
    """Runs until the other end of a socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which decides
    os.dup2(2, 1)  # what libraries print must not get into the parent's output
    control = socket.socket(fileno=descriptor)
    wire = Wire(control)
    try:
        function, megabytes = _loaded()
    except BaseException as error:  # noqa: BLE001 - raised again by the parent
        wire.send(frame(Kind.RAISED, (error if isinstance(error, Exception) else None, traceback.format_exc())))
        sys.exit(1)
    gc.collect()
    gc.freeze()  # so that collecting in a worker does not touch, and so copy, what it shares
    wire.send(frame(Kind.VALUE, None))
    children: set[int] = set()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # the parent has gone: so do all
        while _obeyed(control, children, function, megabytes):
            pass
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        _ended(pid)
    os._exit(0)


def _loaded() -> tuple[Any, float]:
    function, initialise, megabytes = pickle.load(sys.stdin.buffer)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if initialise is not None:
        initialise()
    return function, megabytes


def _obeyed(control: socket.socket, children: set[int], function: Any, megabytes: float) -> bool:
    """Does what the parent asks next; False when it has closed its end."""
    command, passed, _, _ = socket.recv_fds(control, COMMAND.size, 1)
    if len(command) < COMMAND.size:
        return False
    what, pid = COMMAND.unpack(command)
    if what == b"E":
        children.remove(pid)
        os.kill(pid, signal.SIGKILL)  # it is there, if only as a zombie: nobody else waits for it
        ended = _ended(pid)
        control.sendall(ENDED.pack(*ended))
        return True
    end = socket.socket(fileno=passed[0])
    me = os.getpid()
    try:
        forked = os.fork()
    except OSError as error:
        forked = -(error.errno or 1)
    if forked == 0:
        control.close()
        die_with_parent(me)
        serve(end, function, megabytes)
    end.close()
    if forked > 0:
        children.add(forked)
    control.sendall(FORKED.pack(forked))
    return True


def _ended(pid: int) -> tuple[bool, int, int]:
    """Waits for a killed worker."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        found, status, used = os.wait4(pid, os.WNOHANG)
        if found:
            inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            scale = 1 if sys.platform == "darwin" else 1024
            return True, os.waitstatus_to_exitcode(status), max(used.ru_maxrss - inherited, 0) * scale
        time.sleep(0.001)
    return False, 0, 0
