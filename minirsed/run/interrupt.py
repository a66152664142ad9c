"""Ctrl-C, SIGTERM, a terminal that is closed: stop where nothing is half done.

Python's KeyboardInterrupt may fall into the middle of an update and leave half of the weights changed. While
`deferred` is in effect, a signal is therefore only remembered, and training asks for it between two updates.
"""

import contextlib
import os
import signal

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # of those that the system has; SIGBREAK: Ctrl-Break of Windows


class StopSignals:
    """Context in which such signals are caught; call it to learn whether one has come.

    Outside of `deferred` a signal raises KeyboardInterrupt at once; within, only the second one does. A signal that
    was ignored from the start (`nohup`) stays so. For the main thread alone, as all signal handlers of Python.

    Attributes
    ----------
    number : int or None
        The first signal that came.
    """

    def __init__(self):
        self.number, self._is_deferred, self._old = None, False, {}

    def __call__(self):
        """Whether a signal has come."""
        return self.number is not None

    @property
    def exit_status(self):
        """128 + number of the signal, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    @contextlib.contextmanager
    def deferred(self, is_deferred=True):
        """Context in which the first signal only makes the call true; `deferred(False)` lifts that inside one."""
        before, self._is_deferred = self._is_deferred, is_deferred
        if not is_deferred and self():
            raise KeyboardInterrupt
        try:
            yield
        finally:
            self._is_deferred = before

    def __enter__(self):
        """Install the handlers."""
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception):
        """Put the old handlers back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number, frame):
        is_first, self.number = self.number is None, self.number or number
        if not (self._is_deferred and is_first):
            raise KeyboardInterrupt
        message = "\nstopping after this update; once more to stop at once, without saving\n"
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            os.write(2, message.encode())  # print() may be what was interrupted
