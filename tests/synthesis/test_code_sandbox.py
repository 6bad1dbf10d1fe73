"""Hostile code: whatever a response does, it does not pass, and nothing outside notices."""

import ast
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lit_align.errors import ConfigError
from lit_align.synthesis.verifiers.code.problems import human_eval, mbpp
from lit_align.synthesis.verifiers.code.sandbox import Isolation, Limits, Outcome, Sandbox

_LIMITS = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=200 * 2**20, processes=4, file_bytes=2**20)
_TESTS = ["assert double(2) == 4", "assert double([1]) == [1, 1]"]
_RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    sandbox = Sandbox(limits=_LIMITS)
    try:
        sandbox.check()
    except ConfigError as error:
        pytest.skip(str(error).partition("\n")[0])
    return sandbox


def _run(sandbox: Sandbox, code: str, tests: list[str] = _TESTS) -> Outcome:
    return sandbox.run(mbpp({"test_list": tests, "code": "def double(x): ..."}).job(code))


def _answer(sandbox: Sandbox, body: str) -> str:
    """What a function with this body returns inside: the test tells it by failing."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    outcome = _run(sandbox, f"def double(x):\n{indented}\n", ["raise RuntimeError(double(0))"])
    assert outcome.reason == "error"
    return (outcome.error or "").removeprefix("RuntimeError: ")


def test_right_code_passes_and_wrong_code_fails_by_its_share_of_tests(sandbox: Sandbox) -> None:
    assert _run(sandbox, _RIGHT) == Outcome(passed=2, reason="passed")
    half = _run(sandbox, "def double(x):\n    return 4")
    assert (half.passed, half.reason, half.test) == (1, "failed", _TESTS[1])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = bytearray(10**9)", "memory"),
        ("x = []\nwhile True: x.append(bytearray(10**6))", "memory"),
        ("def double(x) return 2 * x", "syntax_error"),
        ("(" * 100_000, "syntax_error"),
        ("import sys; sys.exit(0)", "error"),
        ("import os; os._exit(0)", "exited"),
        ("import os; os.abort()", "crashed"),
        ("import os; os.kill(os.getpid(), 9)", "crashed"),
        ("raise KeyboardInterrupt", "error"),
        ("import numpy", "error"),
    ],
)  # fmt: skip
def test_code_that_never_gets_to_the_tests_is_named(sandbox: Sandbox, code: str, reason: str) -> None:
    outcome = _run(sandbox, f"{code}\n{_RIGHT}")
    assert (outcome.passed, outcome.reason) == (0, reason)


def test_code_that_does_not_end_is_stopped(sandbox: Sandbox) -> None:
    ignoring = (
        "import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except Exception: pass\n"
    )
    codes = ["import time\ntime.sleep(60)", f"{ignoring}while True: pass", "def double(x):\n  while True: pass"]
    with ThreadPoolExecutor(len(codes)) as pool:
        outcomes = list(pool.map(lambda code: _run(sandbox, code), codes))
    assert [(outcome.passed, outcome.reason) for outcome in outcomes] == [(0, "timeout")] * len(codes)


def test_recursion_without_end_is_no_harm(sandbox: Sandbox) -> None:
    code = "import sys; sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()\n"
    assert _run(sandbox, code + _RIGHT).reason != "passed"  # it crashes, or runs out of memory or time


@pytest.mark.parametrize(
    "code",
    [
        # What is equal to everything.
        "class Any:\n  def __eq__(self, other): return True\ndef double(x): return Any()",
        "class Any(list):\n  def __eq__(self, other): return True\ndef double(x): return Any()",
        "class Any(int):\n  def __eq__(self, other): return True\ndef double(x): return Any(7)",
        # Tests that test nothing.
        "import builtins\nbuiltins.AssertionError = Exception\ndef double(x): return None",
        "def check(candidate): pass\n__debug = False\ndef double(x): return 0",
        "import sys\nsys.modules['builtins'].__dict__['__build_class__'] = None\ndef double(x): return 0",
        # Claims of success, on every way out.
        "import os\nfor fd in range(64):\n  try: os.write(fd, b'{\"passed\": 2, \"reason\": \"passed\"}')\n"
        "  except OSError: pass\nos._exit(0)",
        "import gc, os, socket\nfor o in gc.get_objects():\n  if isinstance(o, socket.socket):\n"
        "    m = b'{\"value\": null, \"passed\": 2}'\n    o.sendall(len(m).to_bytes(4, 'big') + m)\n"
        "os._exit(0)",
        "import sys\nf = sys._getframe()\nwhile f: f.f_locals.update(reply={'value': 4}); f = f.f_back\n"
        "def double(x): sys.exit(0)",
        "def double(x): raise AssertionError",
        "def double(x): raise SystemExit(0)",
        "print('passed ' * 10**6)\ndef double(x): print('passed'); return 5",
    ],
)  # fmt: skip
def test_a_wrong_answer_cannot_be_passed_off_as_right(sandbox: Sandbox, code: str) -> None:
    outcome = _run(sandbox, code)
    assert outcome.reason != "passed"
    assert outcome.passed == 0


def test_messages_of_code_can_always_be_written(sandbox: Sandbox) -> None:
    outcome = _run(sandbox, "def double(x): raise ValueError('\\ud800' * 10**6)")
    assert outcome.reason == "error"
    assert len((outcome.error or "").encode()) < 2000


def test_tests_that_catch_everything_do_not_pass_code_that_leaves(sandbox: Sandbox) -> None:
    test = "try:\n    double(1)\nexcept BaseException:\n    pass"
    assert _run(sandbox, "import os\ndef double(x): os._exit(0)", [test]).reason == "exited"


def _commands() -> str:
    """The command lines of all processes."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(commands)


def test_a_fork_bomb_ends_with_the_verdict(sandbox: Sandbox) -> None:
    before = len(os.listdir("/proc"))
    outcome = _run(sandbox, "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n")
    assert outcome.reason == "timeout"
    time.sleep(0.2)
    assert len(os.listdir("/proc")) < before + 50


def test_processes_that_leave_the_session_end_too(sandbox: Sandbox) -> None:
    marker = f"left_{time.time_ns()}"
    command = f"[{marker!r}, '-c', 'import time; time.sleep(60)']"
    code = f"import os, sys\nif os.fork() == 0:\n  os.setsid()\n  os.execv(sys.executable, {command})\n"
    assert _run(sandbox, code + _RIGHT).reason == "passed"
    _wait_until(lambda: marker not in _commands())


@pytest.mark.parametrize("isolation", ["namespaces", "limits_only"])
def test_code_ends_when_the_process_that_asked_for_it_is_killed(isolation: Isolation) -> None:
    interpreter = None if isolation == "namespaces" else _common_python()
    try:
        Sandbox(isolation, interpreter=interpreter).check()
    except ConfigError as error:
        pytest.skip(str(error).partition("\n")[0])
    marker = f"left_{time.time_ns()}"
    code = f"import os, sys; os.execv(sys.executable, [{marker!r}, '-c', 'import time; time.sleep(60)'])"
    job = mbpp({"test_list": _TESTS, "code": _RIGHT}).job(code)
    options = f"{isolation!r}, interpreter={interpreter!r}"
    call = f"from {Sandbox.__module__} import Sandbox; Sandbox({options}).run({job!r})"
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: without namespaces another user has to get there
        os.chmod(folder, 0o711)
        process = subprocess.Popen([sys.executable, "-c", call], env={**os.environ, "TMPDIR": folder})
        _wait_until(lambda: f"\n{marker}" in _commands())
        process.kill()
        process.wait()
        _wait_until(lambda: marker not in _commands())


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def test_the_network_is_not_there(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        body = f"import socket\ntry: socket.create_connection({address}, 1)\nexcept OSError: return 'no'\nreturn 'yes'"
        assert _answer(sandbox, body) == "no"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/proc/1/environ", "/home", __file__])
def test_files_of_the_machine_are_not_there(sandbox: Sandbox, path: str) -> None:
    assert _answer(sandbox, f"import os\nreturn os.path.exists({path!r})") == "False"


def test_of_the_machine_only_python_and_the_systems_libraries_are_there(sandbox: Sandbox) -> None:
    names = _answer(sandbox, "import os\nreturn sorted(os.listdir('/'))")
    top = Path(sandbox.interpreter).parts[1]
    assert set(ast.literal_eval(names)) - {"usr", "lib", "lib32", "lib64", "nix", "etc", top} == {"dev", "guest", "tmp"}


def test_nothing_can_be_written_but_a_little_in_a_home_that_is_gone_afterwards(sandbox: Sandbox) -> None:
    body = (
        "import os, sys\nwritten = []\n"
        "for folder in ['/', os.path.dirname(os.__file__), '/guest/guest', '/dev', '/usr/lib']:\n"
        "  try: open(folder + '/x', 'w').close(); written.append(folder)\n  except OSError: pass\n"
        "open(os.path.expanduser('~/x'), 'w').write('a')\n"
        "try: open('/tmp/big', 'wb').write(bytes(2**21)); written.append('big')\nexcept OSError: pass\n"
        "return written, os.environ['HOME']"
    )
    assert _answer(sandbox, body) == "([], '/tmp')"
    assert _answer(sandbox, "import os\nreturn os.listdir('/tmp')") == "[]"


def test_no_secret_of_the_environment_comes_in(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    names = _answer(sandbox, "import os\nreturn sorted(os.environ)")
    assert names == "['HOME', 'LANG', 'TMPDIR']"


def test_code_is_another_user_without_rights(sandbox: Sandbox) -> None:
    body = "import os, ctypes\nlibc = ctypes.CDLL(None)\nreturn os.getuid(), *map(libc.unshare, (0x10000000, 0x20000))"
    assert _answer(sandbox, body) == "(1000, -1, -1)"


def test_other_processes_cannot_be_ended(sandbox: Sandbox) -> None:
    body = (
        f"import os\nfor pid in (-1, 1, {os.getpid()}):\n  try: os.kill(pid, 9)\n  except OSError: pass\nreturn 'alive'"
    )
    assert _answer(sandbox, body) == "alive"


def test_values_keep_their_types_on_the_way(sandbox: Sandbox) -> None:
    tests = [
        "value = (1, 'a', 2.5, None, True, {1: {2}}, b'x', 3 + 4j, 2**80, range(3))\nassert double(value) == value",
        "assert isinstance(double((1,)), tuple) and isinstance(double([1]), list)",
        "assert double(float('inf')) == float('inf') and double(float('nan')) != double(float('nan'))",
        "values = [3, 1]\ndouble(values)\nassert values == [1, 3]",
        "from collections import Counter\nassert double(Counter('aab')) == Counter(a=2, b=1)",
        "assert double(int) is None",
    ]
    code = "def double(x):\n    if isinstance(x, list): x.sort()\n    return None if isinstance(x, type) else x"
    assert _run(sandbox, code, tests) == Outcome(passed=6, reason="passed")


def test_objects_and_generators_of_the_code_can_be_used_by_tests(sandbox: Sandbox) -> None:
    reference = "class Node:\n    pass\ndef walk(n): ..."
    code = (
        "class Node:\n  def __init__(self, v): self.v, self.next = v, None\n"
        "def walk(n):\n  while n:\n    yield n.v\n    n = n.next"
    )
    row = {
        "code": reference,
        "test_setup_code": "root = Node(1)\r\nroot.next = Node(2)",
        "test_list": ["assert list(walk(root)) == [1, 2]"],
    }
    assert sandbox.run(mbpp(row).job(code)).reason == "passed"


def test_a_prompt_in_words_and_a_solution_in_python_2_are_no_failure_of_the_response(sandbox: Sandbox) -> None:
    test = "def check(candidate):\n    assert candidate(2) == 4"
    row = {"prompt": "Write a function that doubles!", "test": test, "entry_point": "double"}
    assert sandbox.run(human_eval(row).job(_RIGHT)).reason == "passed"
    row = {"code": "def double(x):\n    print x", "test_list": _TESTS}
    assert sandbox.run(mbpp(row).job(_RIGHT)).reason == "passed"


def test_code_cannot_replace_what_tests_rely_on(sandbox: Sandbox) -> None:
    row = {
        "code": "import math\ndef area(r): ...",
        "test_list": ["assert math.isclose(area(1), 3.14)", "assert abs(area(2)) == 6"],
    }
    code = "class math:\n    isclose = staticmethod(lambda *a, **k: True)\ndef abs(x): return 6\ndef area(r): return 1"
    assert sandbox.run(mbpp(row).job(code)).passed == 0
    del row["code"]
    assert sandbox.run(mbpp(row).job(code)).passed == 0


def test_the_sandbox_says_what_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="python: no Python that can be run"):
        Sandbox(interpreter=str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="processes must be positive, got 0"):
        Limits(processes=0)


def test_limits_hold_without_namespaces_too() -> None:
    sandbox = Sandbox("limits_only", limits=_LIMITS, interpreter=_common_python())
    try:
        sandbox.check()
    except ConfigError as error:
        pytest.skip(str(error).partition("\n")[0])
    assert _run(sandbox, _RIGHT).reason == "passed"
    assert _run(sandbox, f"import time\ntime.sleep(60)\n{_RIGHT}").reason == "timeout"
    assert _run(sandbox, f"x = bytearray(10**9)\n{_RIGHT}").reason == "memory"
    assert _run(sandbox, f"import os\nos._exit(0)\n{_RIGHT}").reason == "exited"
    names = _answer(sandbox, "import os\nreturn sorted(os.environ), os.listdir('.')")
    assert names == "(['HOME', 'LANG', 'TMPDIR'], [])"


def _common_python() -> str | None:
    """A Python that every user can run: as root the code runs as another user."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else None
