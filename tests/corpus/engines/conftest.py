"""A real Spark cluster on the loopback: one master and two workers, each with a core."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

_MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
_JOINED = "Successfully registered with master"


@dataclass(frozen=True)
class Cluster:
    master: str
    workers: tuple[subprocess.Popen[bytes], ...]

    def kill_worker(self, number: int) -> None:
        """Kills a worker and the executors that it started, at once."""
        _kill(self.workers[number])


@contextmanager
def spark_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster whose logs and scratch files lie in `folder`; all of it is gone afterwards."""
    with ExitStack() as stack:
        master_log = folder / "master.log"
        launch = "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"
        stack.enter_context(_running(folder, master_log, *launch))
        master = _wait_for(master_log, _MASTER)
        workers = []
        for number in range(2):
            log = folder / f"worker{number}.log"
            launch = "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0"
            limits = "--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"work{number}")
            workers.append(stack.enter_context(_running(folder, log, *launch, *limits, master)))
            _wait_for(log, re.compile(f"({_JOINED})"))
        yield Cluster(master, tuple(workers))


@contextmanager
def _running(folder: Path, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    import pyspark

    home = Path(pyspark.__file__).parent
    environment = os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(folder)}
    command = [str(home / "bin" / "spark-class"), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            try:
                member.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=20)
    process.wait()


def _wait_for(log: Path, pattern: re.Pattern[str], seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if match := pattern.search(log.read_text(errors="replace")):
            return match[1]
        time.sleep(0.1)
    raise AssertionError(f"{pattern.pattern!r} does not come up:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with spark_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
