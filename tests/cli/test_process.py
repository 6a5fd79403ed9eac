"""The command as a process of its own: pipes, signals, permissions, what it loads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.artifacts import new_style
from tests.support.behaviours import wait_until
from tests.support.faults import Drip, Stall
from tests.support.procs import ROOT, run_python

MODULE = ["-m", "spincache_nb"]
APP = new_style("demo/app", "v1")
LONGEST_BLOB = max(APP.blobs, key=lambda digest: len(APP.blobs[digest]))

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start():
    """Start the command; what is still running at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def popen(*words, **options):
        process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *MODULE, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def command(*words, **options):
    """Run the command to its end, in a process of its own."""
    return run_python([*MODULE, *map(str, words)], **options)


def pull_words(hostile, folder):
    """Words that pull the app, which the registry has from now on, into a folder."""
    hostile.serve(APP)
    return "pull", f"{hostile.name}/demo/app:v1", "--cache-dir", str(folder)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_module_runs_as_the_command(tmp_path):
    done = command("path", "--cache-dir", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}/registry\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["path"], ["path", "--all"], ["pull"]])
def test_what_needs_no_cache_loads_nothing_heavy(words):
    heavy = ["pandas", "numpy", "matplotlib", "httpx", "jinja2", "tqdm", "ssl", "asyncio"]
    code = (
        "import sys; from spincache_nb.cli import main; main(sys.argv[1:]); "
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    assert run_python(["-c", code, *words]).stderr.splitlines()[-1] == "[]"


def test_pull_loads_no_frames_and_no_plots(hostile, tmp_path):
    code = (
        "import sys; from spincache_nb.cli import main; status = main(sys.argv[1:]); "
        "print(status, [name for name in ('pandas', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    words = (*pull_words(hostile, tmp_path), "--quiet", "--json")
    assert run_python(["-c", code, *words]).stdout.splitlines()[-1] == "0 []"


def test_a_pipe_gets_plain_lines_and_one_json_document(hostile, tmp_path):
    done = command(*pull_words(hostile, tmp_path), "--json")
    assert done.returncode == 0
    assert [result["manifest_digest"] for result in json.loads(done.stdout)] == [APP.digest]
    assert "\r" not in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stderr.splitlines()[0] == f"to fetch: {sum(map(len, APP.blobs.values()))} bytes"


def test_a_terminal_gets_a_bar(hostile, tmp_path):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    words = pull_words(hostile, tmp_path)
    done = subprocess.run(
        [sys.executable, *MODULE, *words], stdout=subprocess.PIPE, stderr=slave, cwd=ROOT, check=False
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert done.returncode == 0
    assert b"pull: 100%" in shown
    assert b"to fetch" not in shown


@pytest.mark.parametrize(
    ("command", "name", "status"), [("blobs", "sha256:{:064x}", 0), ("problems", "no digest {}", 1)]
)
def test_a_reader_that_goes_away_is_no_fault_and_a_finding_stays_one(command, name, status, start, tmp_path):
    data = tmp_path / "registry" / "data"
    data.mkdir(parents=True)
    for number in range(4000):
        (data / name.format(number)).touch()
    process = start(command, "--cache-dir", str(tmp_path))
    assert process.stdout.readline() != ""
    process.stdout.close()
    assert process.wait(timeout=60) == status
    assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *MODULE, "path", "--all"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert (done.returncode, done.stderr) == (3, "spincache-nb path: No space left on device\n")


@pytest.mark.parametrize("behaviour", ["stalls", "drips"])
def test_ctrl_c_ends_a_pull_cleanly(behaviour, hostile, start, tmp_path):
    words = pull_words(hostile, tmp_path)
    slow = Stall(after=100, seconds=60) if behaviour == "stalls" else Drip(size=64, pause=2)
    hostile.always(f"*/blobs/{LONGEST_BLOB}", slow)
    process = start(*words)
    wait_until(lambda: bool(hostile.requests_for(f"*/blobs/{LONGEST_BLOB}")), seconds=30)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 20
    assert out == ""
    assert err.splitlines()[-1] == "spincache-nb pull: interrupted"
    assert "Traceback" not in err
    left = files(tmp_path)
    assert [path for path in left if path.name in ("manifest.json", "config.json")] == []
    assert [path for path in left if path.name.startswith(".")] == []
    assert [path for path in left if LONGEST_BLOB in path.name] == []


def test_a_cache_that_may_not_be_written_is_one_line(hostile, roots_folder):
    done = command(*pull_words(hostile, roots_folder), "--quiet", unprivileged=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"spincache-nb pull: {roots_folder}/registry")
    assert "Permission denied" in done.stderr
    assert "--cache-dir DIR" in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(roots_folder) == []


def test_a_cache_that_may_not_be_read_is_one_line_or_a_problem(roots_folder):
    closed = roots_folder / "closed"
    (closed / "registry").mkdir(parents=True)
    closed.chmod(0o000)
    done = command("apps", "--cache-dir", closed, unprivileged=True)
    assert done.returncode == 3
    assert "Permission denied" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_history_that_cannot_be_written_is_a_warning(hostile, roots_folder, nobodys_folder):
    words = (*pull_words(hostile, nobodys_folder), "--quiet")
    done = command(*words, unprivileged=True, env={"SPINCACHE_STATE_DIR": str(roots_folder / "state")})
    assert done.returncode == 0
    assert done.stderr.startswith("spincache-nb: warning: the pull is not recorded: ")
    assert done.stderr.count("\n") == 1


def test_output_is_escaped_where_the_encoding_lacks_a_letter(tmp_path):
    folder = tmp_path / "registry" / "manifests" / "ghcr.io" / "org" / "app" / "Zoë"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    done = command("apps", "--cache-dir", tmp_path, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0
    assert "ghcr.io/org/app:Zo\\xeb" in done.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["path", "apps", "problems --json", "frobnicate"])
def test_a_closed_stream_is_as_the_null_device(closed, words, tmp_path):
    program = f'"{sys.executable}" -m spincache_nb {words} --cache-dir "{tmp_path}" {closed}'
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == (2 if words == "frobnicate" else 0)
    assert "Traceback" not in done.stderr


def test_a_question_without_an_input_is_wrong_usage(tmp_path):
    stray = tmp_path / "registry" / "data" / f"sha256:{'0' * 64}"
    stray.parent.mkdir(parents=True)
    stray.touch()
    program = f'"{sys.executable}" -m spincache_nb clear --cache-dir "{tmp_path}" <&-'
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "--yes goes on without asking" in done.stderr
    assert stray.exists()
