"""Before the first worker starts: whether every model opens, so that a fault ends the start and is reported once."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from service.app import create_app
from service.errors import StartError
from service.settings import Settings


def models_open(settings: Settings, folders: Iterable[Path]) -> bool:
    """Whether each model has a version that opens and passes its golden examples, tried once in a child process.

    In the workers, the same failure would be reported by each of them, between Gunicorn's own lines; and sessions that
    this process opened would not survive its forks.
    """
    child = os.fork()
    if child == 0:
        os._exit(_open_and_report(settings, folders))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed = signal.Signals(os.WTERMSIG(status)).name
        advice = "if that was for want of memory, it needs more, or fewer bundles"
        print(f"digitalis: opening the models was stopped by {killed}: {advice}", file=sys.stderr)
    return status == 0


def _open_and_report(settings: Settings, folders: Iterable[Path]) -> int:
    """The exit status of the child. What it would log, the workers log again."""
    logging.disable()
    try:
        create_app(settings, folders).models.check_every_model_opens()
    except (StartError, MemoryError) as error:
        print(f"digitalis: {error or 'not enough memory to open the models'}", file=sys.stderr, flush=True)
        return 2
    except Exception:  # noqa: BLE001 - whatever it is, the child must not go on as a second parent
        traceback.print_exc()
        return 1
    return 0
