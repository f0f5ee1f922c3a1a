"""The one rich console, and the logging handler that writes through it."""

import logging
import sys

from rich.console import Console

console = Console(markup=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


class ErrorHandler(logging.Handler):
    """The same to standard error, where standard output has answers."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or record.name.startswith("powerbert_cli"):
            print(record.getMessage(), file=sys.stderr)


class ConsoleHandler(logging.Handler):
    """Our own messages and everybody's warnings, as plain lines that do not break a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and not record.name.startswith("powerbert_cli"):
            return
        style = "yellow" if record.levelno >= logging.WARNING else None
        console.print(record.getMessage(), style=style)
