"""`powerbert VERB …`: takes the verb off the command line and hands the rest to Hydra.

Imports neither torch nor transformers, so that help and completion answer at once.
"""

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import foreign, overrides, processes, shell, usage
from .errors import PowerbertError, Terminated
from .store.home import with_home
from .verbs import PLAIN, VERBS, module_of, plan, settings_of

shell.wait_without_spinning()  # before anything imports PyTorch, also from `api`
USER_ERROR = 2
FAILED = 1
INTERRUPTED = 130
TERMINATED = 143
DONE = {"report": "report", "push": "pushed"}  # what commands that take folders, not keys, say of their result
KEEPS_NOTHING = ("check", "predict")
TOGETHER = ("finetune", "search", "retrain")  # verbs that several processes can share, under torchrun


def conf_dir() -> Path:
    """The shipped configs: inside the installed package, else beside `src/` in a checkout."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def main() -> None:
    """Entry point of the console script."""
    _prepare_streams()
    try:
        sys.exit(dispatch(sys.argv[1:]))
    except BrokenPipeError:
        sys.exit(FAILED)


def _prepare_streams() -> None:
    """What a terminal cannot show becomes ?, and what is closed takes everything: neither is worth a training."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def dispatch(args: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    if any(arg in ("-sc", "--shell-completion", "--shell_completion") for arg in args[:2]):
        return _completion(args)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage.overview())
        return 0
    if args[0] in ("-V", "--version", "version"):
        print(f"powerbert {usage.version()}")
        return 0
    verb, rest = args[0], args[1:]
    if verb in PLAIN:
        return _plain(verb, rest)
    if verb not in VERBS:
        return _complain(usage.unknown_verb(verb))
    if any(arg.partition("=")[0] in ("-h", "--help") for arg in rest):
        return _help(verb, rest)
    return run_verb(verb, rest)


def _help(verb: str, args: list[str]) -> int:
    """--help, --help all, --help research"""
    wanted = [word for arg in args for word in (arg, arg.partition("=")[2]) if word in usage.SCOPES]
    print(usage.verb_help(verb, conf_dir(), *wanted[:1]))
    return 0


def _plain(name: str, args: list[str]) -> int:
    command = module_of(name)
    if any(arg in ("-h", "--help") for arg in args):
        print(command.HELP, end="")
        return 0
    try:
        print(f"{DONE[name]}: {command.run(args)}")
    except PowerbertError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("interrupted; the same command begins anew", INTERRUPTED)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}")
    return 0


def run_verb(verb: str, args: list[str]) -> int:
    """Composes the verb's config with Hydra and runs the verb, or shows its plan."""
    import hydra

    # shipped launcher settings are meant to stand in place of the plugins' own of the same name
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/", UserWarning)
    logging.raiseExceptions = False  # a log that cannot be written is no reason for a traceback
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors come here and not to Hydra's own printer
    planning, args = plan.FLAG in args, [with_home(arg) for arg in args if arg != plan.FLAG]
    try:
        if planning:
            plan.check(verb)
        args = _meant(verb, args)
    except PowerbertError as error:
        return _complain(str(error))
    if processes.count() > 1 and verb not in TOGETHER:
        return _complain(f"{verb} runs in one process; under torchrun: {', '.join(TOGETHER)}")
    task = plan.task_function if planning else task_function
    app = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)
    try:
        with _sigterm_ends(), shell.left_out(), plan.nowhere(verb) if planning else _own_place() as place:
            sys.argv = [sys.argv[0], *foreign.overrides_first([*args, *place])]
            app()
    except KeyboardInterrupt as error:
        return _complain(f"interrupted: {_kept(verb, str(error))}", INTERRUPTED)
    except Terminated as error:
        return _complain(f"SIGTERM: {_kept(verb, str(error))}", TERMINATED)
    except PowerbertError as error:
        return _complain(str(error), error.exit_code)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else FAILED
    except Exception as error:
        return _complain(*_explained(error, verb, args))
    return 0


def _meant(verb: str, args: list[str]) -> list[str]:
    """The command line as it is meant, when all that it names has been looked at."""
    processes.check()
    foreign.check_flags(args)
    foreign.check_folders(args, conf_dir())
    folders = list(map(str, foreign.named_folders(args)))
    overrides.check_names(folders, verb)
    return overrides.meant(verb, args, conf_dir(), folders)


def _explained(error: Exception, verb: str, args: list[str]) -> tuple[str, int]:
    """What to say of an error that is not ours, and the exit code."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, HydraException | OmegaConfBaseException):
        return usage.explain_hydra(error, verb, args, conf_dir()), USER_ERROR
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; output_dir=FOLDER writes elsewhere", USER_ERROR
    if plugin := usage.missing_plugin(error):
        return plugin, USER_ERROR
    # a fault of ours: one line here, the traceback in the run's log
    logging.getLogger(__name__).debug("unexpected error", exc_info=error)
    if os.environ.get("POWERBERT_TRACEBACK"):
        raise error
    reason = (str(error).splitlines() or [""])[0]
    where = "(traceback in the run's log, or on the screen with POWERBERT_TRACEBACK=1)"
    return f"unexpected {type(error).__name__}: {reason} {where}", FAILED


def _kept(verb: str, said: str) -> str:
    """What is left of a run that was stopped."""
    if verb in KEEPS_NOTHING:
        return "nothing is kept; the same command begins anew"
    return f"{said or 'what was finished is kept'}; the same command goes on from there"


@contextlib.contextmanager
def _own_place() -> Iterator[list[str]]:
    """Overrides under which all but the first of several processes write where it disturbs nobody; they are quiet."""
    if processes.is_main():
        yield []
    else:
        from .report.console import console

        console.quiet = True
        with tempfile.TemporaryDirectory() as folder:
            yield [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]
    processes.leave()


@contextlib.contextmanager
def _sigterm_ends() -> Iterator[None]:
    """SIGTERM ends the work at once; a training takes the signal itself while it runs, and saves."""

    def end(number: int, frame: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def task_function(cfg: Any) -> Any:
    """What Hydra runs for each job: the job's verb."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from .jobs import failures
    from .settings.typed import typed

    hydra = HydraConfig.get()
    try:
        if hydra.job.name != "sweep":  # whose jobs check their own, and leave a result in any case
            typed(cfg, settings_of(hydra.job.name))  # before anything heavy is imported
        from .store import artifacts

        with artifacts.writing(*_where(cfg)):
            found = module_of(hydra.job.name).run(cfg)
            run_dir = Path(hydra.runtime.output_dir)
            if "output_dir" in cfg and (run_dir / "config.yaml").is_file() and processes.is_main():
                from .report import tracking

                _leave_pages(run_dir, hydra.job.name)
                tracking.leave(cfg.tracking, run_dir, Path(cfg.output_dir))
            return found
    except Exception as error:
        if hydra.mode == RunMode.MULTIRUN:  # the other jobs go on
            return failures.note(error)
        if not isinstance(error, PowerbertError):
            raise
        if error.exit_code == USER_ERROR and "output_dir" in cfg and processes.is_main():
            failures.leave_nothing(Path(hydra.runtime.output_dir), Path(cfg.output_dir).resolve())
        # Past Hydra, which would announce an ordinary exception with lines of its own.
        raise SystemExit(_complain(str(error), error.exit_code)) from error


def _where(cfg: Any) -> tuple[str, str]:
    """The setting that says where a verb writes, and what an error says of it."""
    if "output_dir" not in cfg:
        return f"output={cfg.output}", "output=FILE; the same command begins anew"
    kept = "what was finished is kept, and the same command goes on from there"
    return f"output_dir={cfg.output_dir}", f"output_dir=FOLDER; {kept}"


def _leave_pages(run_dir: Path, verb: str) -> None:
    """What people read of a run: its page, and the card of its model."""
    from .report import model_card, page

    if (run_dir / "model").is_dir() and verb != "export":  # whose card has the file's own measures
        model_card.write_model_card(run_dir)
    page.write_page([run_dir], run_dir / page.NAME)


def _complain(message: str, code: int = USER_ERROR) -> int:
    who = "powerbert" if processes.is_main() else f"powerbert (process {processes.number()})"
    print(f"{who}: {message}", file=sys.stderr)
    return code


def _completion(args: list[str]) -> int:
    """Hydra's completion, with the verb taken off the line that it completes."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if not any(arg.startswith("query=") for arg in args) or len(words) < 1:
        return run_verb("finetune", args)  # install= and uninstall= are the same for all verbs
    if len(words) == 1 or (len(words) == 2 and not line.endswith(" ")):
        start = words[1] if len(words) == 2 else ""
        print(" ".join(verb for verb in VERBS if verb.startswith(start)))
        return 0
    if words[1] not in VERBS:
        return 0
    os.environ["COMP_LINE"] = line.replace(f" {words[1]}", "", 1)
    return run_verb(words[1], args)
