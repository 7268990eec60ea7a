#!/usr/bin/env python3
"""A real Slurm with two virtual nodes on this machine, for development and CI.

    sudo slurm/dev/cluster.py install
    sudo slurm/dev/cluster.py up
    eval "$(slurm/dev/cluster.py env)"
    sbatch -A gts-dev -q embers --gres=gpu:1 --wrap hostname
    sudo slurm/dev/cluster.py down

Everything lives in one folder per variant. slurm/README.md says what is real here and what is not.
"""

# ruff: noqa: T201  (a command line tool prints)
from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import random
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from processes import Processes

HERE = Path(__file__).resolve().parent
PACKAGES = ("slurm-wlm", "slurmctld", "slurmd", "slurm-client", "slurmdbd", "mariadb-server", "mariadb-client", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr", "unshare")
UNSHARE = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
NODES = ("node1", "node2")
GPU, GPUS = "a100", 2
ACCOUNT = "gts-dev"
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
# sockaddr_un holds 108 bytes; the longest name below the root is run/munge.sock.lock.
LONGEST_ROOT = 80


class ClusterError(Exception):
    """The user can mend this; one line, exit code 2."""

    code = 2


class Unavailable(ClusterError):
    """A daemon or a system tool did not do its part; exit code 3."""

    code = 3


@dataclass(frozen=True)
class Variant:
    """What can be chosen about a cluster. The defaults are Slurm's, and PACE's limits where they are known."""

    preempt: str = "requeue"
    user_signal: bool = False
    max_array: int = 1001
    max_submit: int = 500
    accounting: bool = True

    @property
    def name(self) -> str:
        """The folder's name; every choice that is not the default shows in it."""
        words = [self.preempt if self.accounting else "noaccounting"]
        words += ["signal"] if self.user_signal else []
        words += [f"array{self.max_array}"] if self.max_array != Variant.max_array else []
        words += [f"submit{self.max_submit}"] if self.max_submit != Variant.max_submit else []
        return "-".join(words)

    def check(self) -> Variant:
        """Refuse what makes no cluster."""
        if not self.accounting and (self.preempt, self.user_signal, self.max_submit) != (
            Variant.preempt,
            Variant.user_signal,
            Variant.max_submit,
        ):
            raise ClusterError("--no-accounting has no QOS: leave out --preempt, --user-signal and --max-submit")
        if self.max_array < 2 or self.max_submit < 1:
            raise ClusterError("--max-array must be at least 2 and --max-submit at least 1")
        return self


def base() -> Path:
    """Where the folders of all variants and the snapshots stand.

    Only root starts clusters, and sudo drops ``XDG_RUNTIME_DIR``: everybody else looks where root's are then.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR") if os.getuid() == 0 else None
    return Path(runtime or "/tmp") / "paceline-slurm-0"


def own(path: Path) -> Path:
    """Check that only root made a folder: /tmp is everybody's."""
    if path.is_symlink() or path.stat().st_uid != 0:
        raise ClusterError(f"{path} belongs to somebody else than root: choose another folder with --root")
    return path


def own_folder(path: Path) -> Path:
    """Make a folder unless it is there."""
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return own(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One command at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    """Free TCP ports below those of outgoing connections, so that a daemon that was stopped finds its port again."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    high = first if first > 12000 else 65536
    found: list[int] = []
    for port in random.sample(range(10000, high), k=min(2000, high - 10000)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            found.append(port)
        if len(found) == count:
            return found
    raise Unavailable(f"found no {count} free ports between 10000 and {high}")


def submitters() -> list[str]:
    """Who may submit: root, whoever called sudo, and this machine's ordinary users."""
    names = {"root", "nobody", os.environ.get("SUDO_USER", "root")}
    return sorted(names | {user.pw_name for user in pwd.getpwall() if 1000 <= user.pw_uid < 60000})


def sacctmgr_commands() -> list[str]:
    """The accounts and the QOS pair; limits are Phoenix's as far as they are known.

    The same for all variants, which so share a snapshot: ``embers`` names no preempt mode, so the cluster's applies.
    """
    return [
        "add cluster paceline",
        "add qos embers set Priority=1 GraceTime=10 MaxWall=08:00:00 UsageFactor=0 MaxSubmitJobsPU=50 MaxJobsPU=50",
        f"add qos inferno set Priority=1000 Preempt=embers MaxWall=21-00:00:00 MaxSubmitJobsPU={Variant.max_submit}",
        f"add account {ACCOUNT} Description=development Organization=paceline",
        f"add user name={','.join(submitters())} account={ACCOUNT} qos=inferno,embers defaultqos=inferno",
        # Slurm puts root into an account of its own, without limits.
        f"modify user root set defaultaccount={ACCOUNT}",
    ]


class Cluster:
    """A cluster in a folder: ``etc/ run/ log/ state/ spool/ db/ dev/``, and what to start and to stop there."""

    def __init__(self, root: Path, variant: Variant) -> None:
        self.root = root
        self.conf = root / "etc" / "slurm.conf"
        self.record = root / "run" / "cluster.json"
        self.processes = Processes(root / "run" / "processes.json")
        self.variant, self.ports = variant, dict[str, int]()
        self.complaint = ""  # of the latest client
        if self.record.exists():
            content = json.loads(self.record.read_text())
            self.variant, self.ports = Variant(**content["variant"]), content["ports"]
        # What the shell of the caller has set must not reach jobs by way of the daemons.
        self.env = {"PATH": SEARCH, "LANG": "C.UTF-8", "SLURM_CONF": str(self.conf)}

    # ---- what there is

    @property
    def daemons(self) -> list[str]:
        """The daemons in the order in which they start; a node is one."""
        database = ["mariadbd", "slurmdbd"] if self.variant.accounting else []
        return ["munged", *database, "slurmctld", *NODES]

    def running(self) -> list[str]:
        return [name for name in self.daemons if self.processes.pid(name)]

    def client(self, words: str | Sequence[str], timeout: float = 10) -> str | None:
        """What a client program prints; None where it fails or does not answer."""
        words = shlex.split(words) if isinstance(words, str) else words
        try:
            done = subprocess.run(
                words,
                env=self.env,
                capture_output=True,
                text=True,
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.complaint = f"{words[0]} did not answer within {timeout:.0f} s"
            return None
        self.complaint = done.stderr.strip().replace("\n", "; ")
        return done.stdout if done.returncode == 0 else None

    # ---- writing a fresh folder

    def prepare(self) -> None:
        """Empty the folder and write configs, keys and devices."""
        for name in ("etc", "run", "log", "state", "spool", "db", "dev"):
            shutil.rmtree(self.root / name, ignore_errors=True)
            (self.root / name).mkdir(mode=0o700 if name in ("state", "db") else 0o755)
        ports = free_ports(3 + len(NODES))
        names = ["controller", "accounting", "database", *NODES]
        self.ports = dict(zip(names, ports, strict=True))
        self.record.write_text(json.dumps({"variant": asdict(self.variant), "ports": self.ports}, indent=1) + "\n")
        password = secrets.token_hex(16)
        values = {
            "ROOT": str(self.root),
            "HOST": socket.gethostname().partition(".")[0],
            "GPU": GPU,
            "MAX_ARRAY": str(self.variant.max_array),
            "PASSWORD": password,
            "PREEMPTION": self._preemption(),
            "ACCOUNTING": self._accounting(),
            **{f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
        }
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            text = (HERE / f"{name}.in").read_text()
            text = re.sub("@([A-Z0-9_]+)@", lambda found: values[found[1]], text)
            self._write(f"etc/{name}", text, 0o600 if name == "slurmdbd.conf" else 0o644)
        self._write("etc/munge.key", secrets.token_bytes(1024), 0o400)
        user = "'slurm'@'127.0.0.1'"
        self._write(
            "etc/init.sql",
            f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{password}';\n"
            "CREATE DATABASE IF NOT EXISTS slurm_acct_db;\n"
            f"GRANT ALL ON slurm_acct_db.* TO {user};\n",
        )
        hosts = Path("/etc/hosts").read_text().rstrip("\n")
        self._write("etc/hosts", f"{hosts}\n127.0.0.1 {' '.join(NODES)}\n", 0o644)
        for index in range(GPUS):
            # As /dev/null: Slurm only looks whether it is a character device.
            os.mknod(self.root / "dev" / f"nvidia{index}", 0o666 | 0o020000, os.makedev(1, 3))

    def _write(self, name: str, content: str | bytes, mode: int = 0o600) -> None:
        path = self.root / name
        path.touch(mode=0o600)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    def _preemption(self) -> str:
        if not self.variant.accounting:
            return "PreemptType=preempt/none"
        lines = ["PreemptType=preempt/qos", f"PreemptMode={self.variant.preempt.upper()}"]
        lines += ["SlurmctldParameters=preempt_send_user_signal"] if self.variant.user_signal else []
        return "\n".join(lines)

    def _accounting(self) -> str:
        if not self.variant.accounting:
            return "AccountingStorageType=accounting_storage/none"
        return "\n".join(
            (
                "PriorityType=priority/multifactor",
                "PriorityWeightQOS=1000",
                "AccountingStorageType=accounting_storage/slurmdbd",
                "AccountingStorageHost=127.0.0.1",
                f"AccountingStoragePort={self.ports['accounting']}",
                f"AccountingStoragePass={self.root}/run/munge.sock",
                "AccountingStorageEnforce=associations,limits,qos",
                f"AccountingStorageTRES=gres/gpu,gres/gpu:{GPU}",
                "AccountingStoreFlags=job_comment",
            )
        )

    # ---- starting

    def _start(self, name: str, words: Sequence[str], ready: Callable[[], bool], patience: float = 30) -> None:
        """Start a daemon unless it runs; wait until it is of use."""
        if self.processes.pid(name):
            return
        output = self.root / "log" / f"{name}.out"
        self.processes.start(name, words, output, self.env)
        end = time.monotonic() + patience
        while not ready():
            late = time.monotonic() > end
            if late or not self.processes.pid(name):
                lines = output.read_text(errors="replace").strip().splitlines()
                what = f"is not ready after {patience:.0f} s" if late else "ended at once"
                said = self.complaint if late and self.complaint else lines[-1] if lines else "nothing"
                raise Unavailable(f"{name} {what} and said: {said} ({output})")
            time.sleep(0.05)

    def _listens(self, where: Path | int) -> bool:
        family = socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET
        address = str(where) if isinstance(where, Path) else ("127.0.0.1", where)
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.connect(address)
            return True
        return False

    def start_munged(self) -> None:
        run = self.root / "run"
        words = ["munged", "--foreground", "--force", f"--key-file={self.root}/etc/munge.key"]
        words += [f"--socket={run}/munge.sock", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munge.seed"]
        words += [f"--log-file={self.root}/log/munged.log", "--num-threads=4"]
        self._start("munged", words, lambda: self._listens(run / "munge.sock"))

    def start_database(self) -> None:
        """MariaDB and slurmdbd, on loopback; only slurmdbd has a password there."""
        if not self.variant.accounting:
            raise ClusterError("this variant has no accounting, so no database")
        sock = self.root / "run" / "mariadb.sock"
        words = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={self.root}/db", f"--socket={sock}"]
        words += [f"--pid-file={self.root}/run/mariadbd.pid", f"--init-file={self.root}/etc/init.sql"]
        words += ["--bind-address=127.0.0.1", f"--port={self.ports['database']}", "--skip-name-resolve"]
        # Small and fast; what a crash loses here nobody misses.
        words += ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0"]
        words += ["--innodb-lock-wait-timeout=900", "--skip-log-bin", "--performance-schema=OFF"]
        self._start("mariadbd", words, lambda: self._listens(sock))
        self._start(
            "slurmdbd",
            ["slurmdbd", "-D"],
            lambda: (
                self._listens(self.ports["accounting"])
                and self.client("sacctmgr -n show cluster format=cluster") is not None
            ),
        )

    def account(self, command: str) -> None:
        """Change accounts or QOS."""
        if self.client(f"sacctmgr -i -Q {command}", 30) is None:
            raise Unavailable(f"sacctmgr {command}: {self.complaint}")

    def start_controller(self) -> None:
        # A first start finds no state, which -i forgives; later ones are to recover all of it or fail.
        first = [] if (self.root / "state" / "clustername").exists() else ["-i"]
        self._start("slurmctld", ["slurmctld", "-D", *first], lambda: "UP" in (self.client("scontrol ping", 5) or ""))

    def start_nodes(self, *names: str) -> None:
        """Each node has namespaces of its own: mounts, host name, processes.

        The recorded process is ``unshare``; when it dies, the node's init dies with it and with that every process on
        the node, jobs that left their session included.
        """
        script = (
            'hostname "$1" && mount --bind "$2/hosts" /etc/hosts || exit'
            '; if [ -d /etc/slurm ]; then mount --bind "$2" /etc/slurm || exit; fi'
            # Not exec: the shell stays as the node's init and reaps orphans.
            '; slurmd -D -N "$1" & wait $!'
        )
        for name in names:
            # Started together, then waited for together.
            self._start(name, [*UNSHARE, "sh", "-c", script, name, name, str(self.conf.parent)], lambda: True)
        if not self.processes.pid("slurmctld"):
            return
        end = time.monotonic() + 30
        for name in names:
            while not re.fullmatch(r"(idle|mix|alloc|comp)\s*", self.client(f"sinfo -h -o %t -n {name}") or ""):
                if not self.processes.pid(name) or time.monotonic() > end:
                    log = self.root / "log" / f"slurmd.{name}.log"
                    raise Unavailable(f"{name} did not join the cluster; see {log} and {name}.out beside it")
                time.sleep(0.05)

    def up(self) -> str:
        """Start what is not running. A folder in which nothing runs is begun afresh, from the snapshot."""
        before = self.running()
        if before == self.daemons:
            return "already up"
        how = ", what had stopped"
        if not before:
            how = ""
            self.prepare()
            if self.variant.accounting:
                snapshot, made = ready_snapshot()
                how = ", cold" if made else ", from the snapshot"
                self._copy(snapshot, self.root / "db")
        try:
            self.start_munged()
            if self.variant.accounting:
                self.start_database()
                if not before and (most := self.variant.max_submit) != Variant.max_submit:
                    self.account(f"modify qos inferno set MaxSubmitJobsPU={most}")
                    self.account(f"modify qos embers set MaxSubmitJobsPU={min(50, most)}")
            self.start_controller()
            self.start_nodes(*NODES)
        except BaseException:
            if not before:
                self.stop()
            raise
        return f"up{how}"

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        # cp knows holes and reflinks: MariaDB's files are mostly holes.
        subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", f"{source}/.", str(target)], check=True)

    # ---- stopping

    def stop(self) -> None:
        """End jobs first, so that no client waits for one; then every daemon, the last one started first."""
        if self.processes.pid("slurmctld") and "UP" in (self.client("scontrol ping", 5) or ""):
            self._cancel_all()
        self.stop_nodes(*NODES)
        self.stop_controller()
        self.stop_database()
        self._end("munged")

    def _cancel_all(self) -> None:
        def jobs() -> str:
            return " ".join(set((self.client("squeue -h -o %A", 5) or "").split()))

        # Pending ones first, or they start in the places of the others.
        self.client("scancel --state=PENDING", 5)
        if found := jobs():
            self.client(f"scancel --signal=KILL --full {found}", 5)
            self.client(f"scancel {found}", 5)
        end = time.monotonic() + 5
        while jobs() and time.monotonic() < end:
            time.sleep(0.1)

    def _end(self, name: str) -> None:
        self.processes.stop(name, signal.SIGTERM, signal.SIGKILL)

    def stop_nodes(self, *names: str) -> None:
        """As if the power failed."""
        for name in names:
            self.processes.stop(name, signal.SIGKILL)

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def stop_database(self) -> None:
        self._end("slurmdbd")
        self._end("mariadbd")

    def down(self) -> str:
        """Stop everything; logs and configs stay to be read until the next start."""
        was = self.running()
        self.stop()
        if left := self.running():
            raise Unavailable(f"could not stop {', '.join(left)} in {self.root}")
        for name in ("state", "spool", "db", "dev"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        return "down" if was else "was not up"

    def status(self) -> str:
        alive = self.running()
        lines = [f"{self.root}: {'up' if alive == self.daemons else 'partly up' if alive else 'down'}"]
        lines += [f"  {name:10} {self.processes.pid(name) or 'not running'}" for name in self.daemons if alive]
        if "slurmctld" in alive:
            lines += [f"  {line}" for line in (self.client("sinfo") or "the controller does not answer").splitlines()]
        return "\n".join(lines)


def ready_snapshot() -> tuple[Path, bool]:
    """The database with Slurm's tables, the accounts and the QOS pair, made once; and whether it was made just now."""
    folder = own_folder(base() / "snapshots")
    programs = [Path(shutil.which(name, path=SEARCH) or name) for name in ("slurmdbd", "mariadbd")]
    stamps = [(str(path), path.stat().st_size, path.stat().st_mtime) for path in programs]
    content = json.dumps([sacctmgr_commands(), stamps])
    target = folder / hashlib.sha256(content.encode()).hexdigest()[:12]
    with locked(folder / "lock"):
        if target.exists():
            return target, False
        for stale in folder.glob("[0-9a-f]" * 12):
            shutil.rmtree(stale)
        seed = Cluster(own_folder(folder / "building"), Variant())
        seed.stop()  # what a killed command may have left
        seed.prepare()
        try:
            words = "mariadb-install-db --no-defaults --user=root --skip-test-db"
            if seed.client(f"{words} --datadir={shlex.quote(str(seed.root / 'db'))}", 120) is None:
                raise Unavailable(f"mariadb-install-db: {seed.complaint}")
            seed.start_munged()
            seed.start_database()
            for command in sacctmgr_commands():
                seed.account(command)
        finally:
            seed.stop()
        (seed.root / "db").rename(target)
        shutil.rmtree(seed.root)
        return target, True


# ---- the command line


def install() -> str:
    """Install the Debian packages, without letting them start system services."""
    if not shutil.which("apt-get"):
        raise ClusterError(
            "install needs Debian or Ubuntu (apt-get); elsewhere install Slurm, MariaDB and munge yourself"
        )
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    begin = time.monotonic()
    try:
        for words in ("update -q", f"install -q -y --no-install-recommends {' '.join(PACKAGES)}"):
            done = subprocess.run(["apt-get", *words.split()], env=env, check=False)
            if done.returncode:
                raise Unavailable(f"apt-get {words.split()[0]} failed with {done.returncode}")
    finally:
        if ours:
            policy.unlink()
    return f"installed in {time.monotonic() - begin:.0f} s"


def need_root(words: str) -> None:
    if os.getuid() != 0:
        raise ClusterError(f"namespaces and device files need root: sudo {sys.argv[0]} {words}")


def need_programs() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name, path=SEARCH)]
    if missing:
        raise ClusterError(f"not installed: {', '.join(missing)}. Run: sudo {sys.argv[0]} install")


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", type=Path, help="the cluster's folder; default: one per variant under " + str(base()))
    chosen = shared.add_argument_group("variant")
    chosen.add_argument("--preempt", choices=("requeue", "cancel"), default=Variant.preempt)
    chosen.add_argument(
        "--user-signal",
        action=argparse.BooleanOptionalAction,
        default=Variant.user_signal,
        help="preemption sends the job's own --signal first (preempt_send_user_signal)",
    )
    chosen.add_argument("--max-array", type=int, default=Variant.max_array, metavar="N", help="MaxArraySize")
    chosen.add_argument("--max-submit", type=int, default=Variant.max_submit, metavar="N", help="jobs of a user")
    chosen.add_argument("--accounting", action=argparse.BooleanOptionalAction, default=Variant.accounting)

    main = argparse.ArgumentParser(prog="cluster.py", description=(__doc__ or "").partition("\n")[0])
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=[shared])

    verbs.add_parser("install", help="install the Debian packages")
    verb("up", "start, or start again what has stopped")
    verb("down", "cancel jobs, stop").add_argument("--all", action="store_true", help="every variant")
    verb("status", "what is running; exit code 1 unless everything is")
    verb("env", "print what a shell needs, for eval")
    for name, verbs_of_it in (("node", "kill start"), ("controller", "stop start"), ("database", "stop start")):
        one = verb(name, f"{verbs_of_it.replace(' ', ' or ')}")
        one.add_argument("action", choices=verbs_of_it.split())
        if name == "node":
            one.add_argument("name", choices=NODES)
    return main


def act(words: argparse.Namespace) -> int:
    """Carry out one command line; the exit code."""
    if words.verb == "install":
        need_root("install")
        print(install())
        return 0
    variant = Variant(**{f.name: getattr(words, f.name) for f in fields(Variant)}).check()
    root = words.root.absolute() if words.root else base() / variant.name
    if root.exists():
        own(root)
    if words.verb in ("env", "status"):
        cluster = Cluster(root, variant)
        if words.verb == "status":
            print(cluster.status())
            return 0 if cluster.running() == cluster.daemons else 1
        if not cluster.running():
            raise ClusterError(f"no cluster is up in {root}: run {sys.argv[0]} up with the same options")
        print(f"export SLURM_CONF={shlex.quote(str(cluster.conf))}")
        return 0

    need_root(words.verb)
    need_programs()
    if words.verb == "down" and words.all:
        for record in sorted(base().glob("*/run/cluster.json")):
            with locked(record.parents[1] / "lock"):
                other = Cluster(record.parents[1], variant)
                print(f"{other.root}: {other.down()}")
        return 0
    if len(str(root)) > LONGEST_ROOT or not re.fullmatch(r"[\w./+-]+", str(root)):
        raise ClusterError(f"--root must be a plain path of at most {LONGEST_ROOT} letters: {root}")
    if words.verb != "up" and not root.exists():
        raise ClusterError(f"no cluster in {root}")
    if not words.root:
        own_folder(base())
    own_folder(root)
    begin = time.monotonic()
    with locked(root / "lock"):
        cluster = Cluster(root, variant)
        if words.verb == "up":
            if not cluster.running():
                cluster.variant = variant
            elif cluster.variant != variant:
                raise ClusterError(f"{root} is up as {cluster.variant.name}: run down first, or give another --root")
            said = cluster.up()
            print(f"{root}: {said} ({time.monotonic() - begin:.1f} s)")
        elif words.verb == "down":
            print(f"{root}: {cluster.down()} ({time.monotonic() - begin:.1f} s)")
        elif not cluster.running():
            raise ClusterError(f"no cluster is up in {root}")
        elif words.verb == "node":
            (cluster.stop_nodes if words.action == "kill" else cluster.start_nodes)(words.name)
        else:
            getattr(cluster, f"{words.action}_{words.verb}")()
    return 0


def main() -> int:
    # Ordinary users read the configs, whatever umask root has.
    os.umask(0o022)
    try:
        return act(parser().parse_args())
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
