"""`train.log` of a run folder: with date and time, what the command said, and how it ended."""

import contextlib
import logging
import sys

from data_tools.errors import InputError

LOG = "train.log"
log = logging.getLogger("minirsed")


class LogFile(logging.FileHandler):
    """Appends to a file; a full disk costs lines of the log, not the training, and is reported once."""

    is_failing = False

    def handleError(self, record):
        """Called by `logging` where a line could not be written."""
        if not self.is_failing:
            print(f"{self.baseFilename}: {sys.exc_info()[1]}; the log has gaps from here on", file=sys.stderr)
        self.is_failing = True

    def close(self):
        """Close; what could not be written before cannot be now."""
        try:
            super().close()
        except OSError:
            self.handleError(None)


@contextlib.contextmanager
def run_log(folder):
    """Context in which all that minirsed gives to `logging` is appended to `train.log`, warnings to stderr as well.

    An exception that leaves the context is logged, with its traceback where it is a defect of the program.

    Raises
    ------
    OSError
        The file cannot be opened.
    """
    file, terminal = LogFile(folder / LOG, encoding="utf-8"), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    terminal.addFilter(lambda record: record.levelno == logging.WARNING)  # the command prints an error as it ends
    level_before = log.level
    log.setLevel(logging.INFO)
    for handler in (file, terminal):
        log.addHandler(handler)
    try:
        yield
    except (InputError, OSError) as error:
        log.error("%s", error)
        raise
    except Exception as error:
        log.exception("%s", error)
        raise
    except KeyboardInterrupt as error:  # or Stopped, which says where
        log.error("%s", str(error) or "stopped")
        raise
    finally:
        for handler in (file, terminal):
            log.removeHandler(handler)
            handler.close()
        log.setLevel(level_before)


def saying(say):
    """`say`, which in `run_log` also logs what it says, line by line."""

    def say_and_log(text):
        say(text)
        for line in filter(str.strip, text.splitlines()):
            log.info("%s", line)

    return say_and_log
