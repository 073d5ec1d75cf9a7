"""Files are written whole or not at all, through links, and into pipes and devices instead of over them."""

import ast
import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hwgen.store import output_file
from hwgen.store.output_file import is_stdout, placed, write_bytes, write_text

ROOT = Path(__file__).parents[2]
NULL, FULL = (1, 3), (1, 7)  # device numbers of /dev/null and /dev/full


def device(path: Path, numbers: tuple[int, int]) -> Path:
    """A character device of this test's own."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(*numbers))
        os.close(os.open(path, os.O_WRONLY))
    except PermissionError as error:
        path.unlink(missing_ok=True)
        pytest.skip(f"this user may not make or open device nodes: {error}")
    return path


def read_in_background(path: Path, found: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread


def test_a_file_is_written_whole_and_keeps_its_permissions(tmp_path: Path):
    path = tmp_path / "out.txt"
    write_text(path, "one")
    path.chmod(0o640)
    write_text(path, "two \N{MICRO SIGN}")
    assert path.read_bytes() == "two \N{MICRO SIGN}".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_an_older_file_stays_when_the_new_one_fails(tmp_path: Path):
    path = tmp_path / "out.bin"
    write_bytes(path, b"old")

    def half() -> None:
        with placed(path) as part:
            assert part.suffix == ".bin"
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool):
    (tmp_path / "far").mkdir()
    far, link, second = tmp_path / "far" / "out.txt", tmp_path / "link.txt", tmp_path / "second.txt"
    if there:
        far.write_text("old")
    link.symlink_to("far/out.txt")
    second.symlink_to(link)
    write_text(second, "new")
    assert (second.is_symlink(), link.is_symlink(), far.is_symlink()) == (True, True, False)
    assert far.read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "link.txt", "out.txt", "second.txt"]


def test_a_link_to_itself_is_an_error(tmp_path: Path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop") as found:
        write_text(loop, "x")
    assert found.value.errno == errno.ELOOP
    assert loop.is_symlink()


def test_a_pipe_is_written(tmp_path: Path):
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    data = os.urandom(300_000)  # more than a pipe holds
    reader = read_in_background(path, found)
    write_bytes(path, data)
    reader.join(20)
    assert found == [data]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_without_reader_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(output_file, "PEER_SECONDS", 0.3)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"nobody has read from for 0 s; start its reader.*pipe"):
        write_text(path, "x")
    silent = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match=r"nobody has read from it for 0 s.*pipe"):
        write_bytes(path, bytes(300_000))
    os.close(silent)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_and_stays_one(tmp_path: Path):
    path = device(tmp_path / "null", NULL)
    link = tmp_path / "link"
    link.symlink_to(path)
    write_text(path, "x")
    write_text(link, "x")
    assert stat.S_ISCHR(path.stat().st_mode)
    assert link.is_symlink()


def test_a_full_device_is_named(tmp_path: Path):
    path = device(tmp_path / "full", FULL)
    with pytest.raises(OSError, match="full") as found:
        write_text(path, "x")
    assert (found.value.errno, found.value.filename) == (errno.ENOSPC, str(path))


def test_a_socket_is_written(tmp_path: Path):
    path, found = tmp_path / "s", []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            with server.accept()[0] as peer:
                while chunk := peer.recv(65536):
                    found.append(chunk)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        write_bytes(path, b"word" * 100_000)
        thread.join(20)
    assert b"".join(found) == b"word" * 100_000
    assert stat.S_ISSOCK(path.stat().st_mode)


SAYS = """
import sys
from pathlib import Path
from hwgen.store.output_file import write_text
print("before")
write_text(Path(sys.argv[1]), "report\\n")
print("after")
"""


@pytest.mark.parametrize("how", ["pipe", "file", "appended"])
def test_standard_output_by_name_is_this_process_s_own(tmp_path: Path, how: str):
    """A link like /dev/stdout leads to a pipe or to the file that the shell has opened: neither is replaced."""
    link, out = tmp_path / "stdout", tmp_path / "out.txt"
    link.symlink_to("/proc/self/fd/1")
    out.write_text("first\n" if how == "appended" else "")
    with out.open("a" if how == "appended" else "w") as handle:
        before = os.fstat(handle.fileno()).st_ino
        stdout = subprocess.PIPE if how == "pipe" else handle
        done = subprocess.run(
            [sys.executable, "-c", SAYS, str(link)], stdout=stdout, text=True, check=True, timeout=60, cwd=ROOT
        )
    said = done.stdout if how == "pipe" else out.read_text()
    assert said == ("first\n" if how == "appended" else "") + "before\nreport\nafter\n"
    assert out.stat().st_ino == before
    assert link.is_symlink()


def test_a_dash_is_standard_output():
    assert is_stdout(Path("-"))
    assert not is_stdout(Path("no-such-file"))


def test_a_disk_without_room_is_named(tmp_path: Path):
    """A limit on file sizes fails in write(2) as a full disk does: without a name."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from hwgen.store.output_file import write_bytes;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}));"
        "write_bytes(Path(sys.argv[1]), bytes(5000))"
    )
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{path}'"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_messages_name_the_file_and_not_its_part(tmp_path: Path):
    path = tmp_path / "out.pth"
    with pytest.raises(ValueError, match=f"^{path}: cannot be written$"), placed(path) as part:
        raise ValueError(f"{part}: cannot be written")
    with pytest.raises(FileNotFoundError) as found:
        write_text(tmp_path / "no" / "out.txt", "x")
    assert found.value.filename == str(tmp_path / "no" / "out.txt")


def _writes(tree: ast.AST) -> list[int]:
    """Lines that write a file in another way."""
    found: list[int] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        words = [item.value for item in (*node.args, *(word.value for word in node.keywords))
                 if isinstance(item, ast.Constant) and isinstance(item.value, str)]  # fmt: skip
        method = isinstance(node.func, ast.Attribute) and name in ("write_text", "write_bytes", "tofile")
        if method or (name == "open" and any(set(word) <= set("wax+bt") for word in words)):
            found.append(node.lineno)
    return found


def test_one_function_writes_files():
    files = [path for part in ("hwgen", "golden", "sim", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): _writes(ast.parse(path.read_text())) for path in files}
    assert len(files) > 100
    where = {name: len(lines) for name, lines in found.items() if lines}
    # the function itself; memory that the simulator maps
    assert where == {"hwgen/store/output_file.py": 1, "sim/bench_memory.py": 1}
