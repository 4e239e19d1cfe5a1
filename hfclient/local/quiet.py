"""transformers, without its progress bars and its advice while a model is read, and as it was before afterwards."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from hfclient.extras import extra

_LOCK = threading.RLock()  # the settings are the process's, and from_pretrained changes some of torch's too


@contextmanager
def quiet() -> Generator[None]:
    """One model is read at a time. What transformers warns of here, its report of missing weights above all, is an
    error of ours; or it is advice for people who train."""
    logging: Any = extra("transformers", "transformers", needed_by="Reading a model").utils.logging
    with _LOCK:
        level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()
