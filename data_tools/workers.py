"""Worker processes and Ctrl-C."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def spared_from_ctrl_c():
    """Context: processes that are started in it ignore Ctrl-C, which a terminal sends to all that belong to it.

    Each of them would print a traceback; the process that starts them ends them when it is stopped itself. That one
    ignores Ctrl-C too while the context lasts, so it is to hold no more than their start. Of no effect outside of the
    main thread, which alone may change what signals do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process inherits
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
