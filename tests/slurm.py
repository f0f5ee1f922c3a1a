"""A Slurm of one node on this machine, for tests: started in a folder, stopped with all that it ran."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

NEEDED = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "scontrol", "sinfo")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
KillWait=10
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why a Slurm cannot be started here; None if it can."""
    absent = [name for name in NEEDED if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: needs the packages slurm-wlm and munge"
    return None if os.geteuid() == 0 else "slurmd needs root"


@contextlib.contextmanager
def slurm(folder: Path):
    """Yields the environment in which sbatch and its like find it; the partition's name is test."""
    env = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    conf = CONF.format(host=socket.gethostname(), folder=folder, ports=_free_ports(2), cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(conf)
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{Path(command[0]).name}.out").open("wb") as output:
            daemons.append(subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True))

    try:
        _start_munge(folder, start)
        start("slurmctld", "-D")
        start("slurmd", "-D")
        _wait_until_idle(env, folder)
        yield env
    finally:
        subprocess.run(["scancel", "--state=RUNNING"], env=env, check=False, capture_output=True)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(15)
            daemon.kill()


def _start_munge(folder: Path, start) -> None:
    home = folder / "munge"
    subprocess.run(["mungekey", "--create", f"--keyfile={home}/key"], check=True, env={**os.environ, "PATH": _path()})
    for path in (home, home / "key"):
        shutil.chown(path, "munge", "munge")
    home.chmod(0o755)
    for parent in folder.parents:  # pytest's folders are closed to other users
        if parent != Path("/") and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o755)
    files = [f"--{name}-file={home}/{name}" for name in ("key", "log", "pid", "seed")]
    start("runuser", "-u", "munge", "--", "munged", "--foreground", "--force", f"--socket={home}/socket", *files)
    _wait(lambda: (home / "socket").exists(), "munged", folder)


def _wait_until_idle(env: dict[str, str], folder: Path) -> None:
    def idle() -> bool:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=env, capture_output=True, text=True)
        return done.stdout.strip() == "idle"

    _wait(idle, "slurmd", folder)


def _wait(ready, what: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in folder.glob("*.[lo][ou][gt]"))
            raise RuntimeError(f"{what} did not come up in {seconds} s\n{logs}")
        time.sleep(0.2)


def _free_ports(many: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(many)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"
