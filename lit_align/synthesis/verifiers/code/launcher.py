"""Starts one process of the sandbox: takes away its world, then its rights, then its resources, and waits for it.

Runs as a program, with the standard library only; its one argument is a `Plan` as JSON. With namespaces the process
sees no network, no other process, and a file system of its own: Python and its libraries, read-only, and an empty
/tmp. What goes wrong on the way is written to `status`, and the program does not start.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

_CLONE = {
    "user": 0x10000000,
    "mount": 0x20000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "ipc": 0x8000000,
    "uts": 0x4000000,
}
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
_ATTRIBUTES = {"read_only": 0x1, "no_setuid": 0x2, "no_devices": 0x4}
_MOUNT_SETATTR, _AT_RECURSIVE, _AT_FDCWD, _MNT_DETACH = 442, 0x8000, -100, 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 4, 38, 36
_INNER_ID = 1000
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Runs the plan given as the first argument."""
    plan = json.loads(sys.argv[1])
    os.set_inheritable(plan["status"], False)
    try:
        status = _with_namespaces(plan) if plan["namespaces"] else _supervise(plan)
    except OSError as error:
        status = {"refused": f"{error.filename or 'sandbox'}: {error.strerror}"}
    if status:
        os.write(plan["status"], json.dumps(status).encode())


def _with_namespaces(plan: dict[str, Any]) -> dict[str, Any] | None:
    _enter_namespaces()
    _end_with_parent(signal.SIGKILL)
    child = os.fork()  # the first process of the new process namespace: when it ends, all in there end
    if child:
        os.waitpid(child, 0)
        return None
    _end_with_parent(signal.SIGKILL)
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0), "prctl")
    _build_root(plan)
    status = _supervise(plan)
    os.write(plan["status"], json.dumps(status).encode())
    os._exit(0)


def _enter_namespaces() -> None:
    """As root the identity inside is another outside too; anyone else can only be what they are."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        ready, go = os.pipe()
        helper = os.fork()
        if helper == 0:
            os.close(go)
            os._exit(0 if os.read(ready, 1) and _map_identities(os.getppid(), _other_identity()) else 1)
        _unshare()
        os.write(go, b"1")
        if os.waitpid(helper, 0)[1] != 0:
            raise PermissionError(1, "the identities inside cannot be set", "uid_map")
        return
    _unshare()
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_INNER_ID} {user} 1\n")
    _write("/proc/self/gid_map", f"{_INNER_ID} {group} 1\n")


def _map_identities(process: int, other: int) -> bool:
    try:
        for name in ("uid_map", "gid_map"):
            _write(f"/proc/{process}/{name}", f"0 0 1\n{_INNER_ID} {other} 1\n")
    except OSError:
        return False
    return True


def _other_identity() -> int:
    """A user of no one else: what that user's processes use up is counted apart."""
    return 20_000 + int.from_bytes(os.urandom(4), "big") % 40_000


def _unshare() -> None:
    _check(_libc.unshare(sum(_CLONE.values())), "unshare of namespaces")


def _build_root(plan: dict[str, Any]) -> None:
    """A file system of read-only libraries and an empty /tmp, in place of the machine's."""
    root = plan["root"]
    _mount(None, "/", flags=_MS_REC | _MS_PRIVATE)
    # No namespace inside the namespace: less of the kernel to attack. Where /proc/sys is read-only it stays allowed.
    with contextlib.suppress(OSError):
        _write("/proc/sys/user/max_user_namespaces", "0")
    _mount("tmpfs", root, kind="tmpfs", flags=_MS_NOSUID | _MS_NODEV, options="size=1m,mode=755")
    for source, target in plan["read_only"]:
        _show(source, root + target)
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        _show(device, root + device, devices=True)
    os.mkdir(f"{root}/tmp")
    _mount(
        "tmpfs",
        f"{root}/tmp",
        kind="tmpfs",
        flags=_MS_NOSUID | _MS_NODEV,
        options=f"size={plan['file_bytes']},nr_inodes=1024,mode=1777",
    )
    _restrict(root, _ATTRIBUTES["read_only"], recursive=False)
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/tmp")


def _show(source: str, target: str, *, devices: bool = False) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, flags=_MS_BIND | _MS_REC)
    no_devices = 0 if devices else _ATTRIBUTES["no_devices"]
    _restrict(target, _ATTRIBUTES["read_only"] | _ATTRIBUTES["no_setuid"] | no_devices, recursive=True)


def _supervise(plan: dict[str, Any]) -> dict[str, Any]:
    """Runs the program to its end or its time's, ends what it left behind, and tells how it ended."""
    if not plan["namespaces"]:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the program leaves behind becomes a child of this process
    failed, failure = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(failed)
        try:
            _give_up_rights(plan)
            os.execve(plan["command"][0], plan["command"], plan["environment"])
        except BaseException as error:
            os.write(failure, f"{type(error).__name__}: {error}".encode())
        os._exit(127)
    os.close(failure)
    message = os.read(failed, 1000).decode(errors="replace")
    if message:
        return {"refused": f"{plan['command'][0]} cannot be started: {message}"}
    stopped = []

    def stop(number: int, _: Any) -> None:
        stopped.append(number)
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    if not plan["namespaces"]:
        _end_with_parent(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, plan["wall_seconds"])
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    # From here on its number may become another's: no late signal must reach that one.
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _, status, used = os.wait4(child, 0)
    _end_children()
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "cpu_seconds": used.ru_utime + used.ru_stime, "timed_out": signal.SIGALRM in stopped}


def _end_with_parent(number: signal.Signals) -> None:
    """Has the system send this process a signal when its parent is gone, though that was killed."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number), "prctl")


def _end_children() -> None:
    """Kills what is left, and what that leaves, where the system can tell children."""
    path = f"/proc/self/task/{os.getpid()}/children"
    while os.path.exists(path):
        with open(path) as file:
            children = [int(number) for number in file.read().split()]
        if not children:
            return
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _give_up_rights(plan: dict[str, Any]) -> None:
    for name, limit in plan["limits"].items():
        kind = getattr(resource, name)
        highest = resource.getrlimit(kind)[1]
        hard = limit + 1 if name == "RLIMIT_CPU" else limit  # a signal first, which can be ignored, then the end
        if highest != resource.RLIM_INFINITY:
            limit, hard = min(limit, highest), min(hard, highest)
        resource.setrlimit(kind, (limit, hard))
    if os.geteuid() == 0:
        identity = _INNER_ID if plan["namespaces"] else _other_identity()
        os.setgroups([])
        os.setresgid(identity, identity, identity)
        os.setresuid(identity, identity, identity)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)


def _mount(source: str | None, target: str, *, kind: str | None = None, flags: int, options: str | None = None) -> None:
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), None if options is None else options.encode()), target)


def _restrict(target: str, attributes: int, *, recursive: bool) -> None:
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)  # struct mount_attr: set, clear, propagation, user namespace
    flags = _AT_RECURSIVE if recursive else 0
    result = _libc.syscall(
        _MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, ctypes.byref(wanted), ctypes.sizeof(wanted)
    )
    _check(result, f"mount_setattr (Linux 5.12) of {target}")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main()
