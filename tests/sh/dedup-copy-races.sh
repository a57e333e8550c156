#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# dedup-copy and sources that change while they are read.
#
# The program is held up where the change is to come: -v prints each name before
# the file is opened, into a pipe that is full.
command -v python3 >/dev/null 2>&1 || {
	echo "python3 is not there" >&2
	exit 77
}
. "$(dirname "$0")/dedup-copy-lib.sh"
cd "$dir" || exit 1
cat >races.py <<'END'
import fcntl, os, shutil, subprocess, sys

tool = sys.argv[1]
PIPE = 4096
failed = False


def check(what, good):
    global failed
    if not good:
        print("FAILED:", what, file=sys.stderr)
        failed = True


def read(path):
    try:
        return open(path).read()
    except OSError as e:
        return str(e)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


class Held:
    """A run that stops before the first name that is not in @names."""

    def __init__(self, names, arguments):
        lines = "".join(n + "\n" for n in names).encode()
        self.read, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, PIPE)
        self.full = fcntl.fcntl(w, fcntl.F_GETPIPE_SZ)
        os.write(w, b"x" * (self.full - len(lines)))
        self.run = subprocess.Popen([tool, "-v", *arguments], stderr=w,
                                    stdout=subprocess.DEVNULL)
        os.close(w)
        self.waiting = self.wait_until_full()

    def wait_until_full(self):
        """Wait until the last of its names is printed and it sleeps."""
        import array, termios
        count = array.array("i", [0])
        while self.run.poll() is None:
            fcntl.ioctl(self.read, termios.FIONREAD, count)
            stat = open("/proc/%d/stat" % self.run.pid).read()
            if count[0] == self.full and stat.rsplit(")")[1].split()[0] == "S":
                wchan = open("/proc/%d/syscall" % self.run.pid).read()
                if wchan.split()[:2] == ["1", "0x2"]:  # write(2, ...)
                    return True
        return False

    def go(self):
        with os.fdopen(self.read, errors="replace") as f:
            text = f.read()
        return self.run.wait(), text.lstrip("x")


def fresh():
    for name in ("src", "out", "private"):
        shutil.rmtree(name, ignore_errors=True)
    if os.path.exists("v"):
        os.unlink("v")
    os.makedirs("src/d")
    write("src/d/0", "zero\n")
    write("src/d/a", "precious\n")
    os.link("src/d/a", "src/d/b")
    write("src/d/aa", "between\n")
    write("src/e", "last\n")
    os.mkdir("private")
    write("private/a", "secret\n")
    os.chmod("private/a", 0o600)


def race(what, names, change, arguments=("src", "v")):
    """Make @change before the name after @names; exit code and messages."""
    fresh()
    held = Held(names, arguments)
    check(what + ": it did not wait", held.waiting)
    change()
    code, text = held.go()
    subprocess.run([tool, "--extract", "v", "out"], stdout=subprocess.DEVNULL)
    return code, text


if not os.path.exists("/proc/self/syscall"):
    print("/proc does not tell system calls", file=sys.stderr)
    sys.exit(77)

UP_TO_0 = ["src", "src/d", "src/d/0"]


def replace(path, text):
    write(path + ".new", text)
    os.rename(path + ".new", path)


# The first name of two goes away, or becomes another file.
code, text = race("gone", UP_TO_0, lambda: os.unlink("src/d/a"))
check("gone: %d %s" % (code, text), code == 3 and "src/d/a: No such" in text)
check("gone: the second name", read("out/src/d/b") == "precious\n")
check("gone: the first name", not os.path.exists("out/src/d/a"))

code, text = race("replaced", UP_TO_0, lambda: replace("src/d/a", "other\n"))
check("replaced: %d %s" % (code, text), code == 3 and "changed" in text)
check("replaced: first", read("out/src/d/a") == "other\n")
check("replaced: second", read("out/src/d/b") == "precious\n")

# The second name becomes another file after the first was stored.
code, text = race("second", UP_TO_0 + ["src/d/a"],
                  lambda: replace("src/d/b", "other\n"))
check("second: first", read("out/src/d/a") == "precious\n")
check("second: second", read("out/src/d/b") == "other\n")


# The contents change after the first name was stored.
def append():
    with open("src/d/b", "a") as f:
        f.write("more\n")


code, text = race("append", UP_TO_0 + ["src/d/a"], append)
check("append: %d %s" % (code, text), code == 3 and "changed" in text)
check("append: a", read("out/src/d/a") in ("precious\n", "precious\nmore\n"))
check("append: b", read("out/src/d/b") == read("out/src/d/a"))


# A number of an inode that is used again is another file.
def reuse():
    os.unlink("src/d/a")
    os.unlink("src/d/b")
    for i in range(8):
        write("src/e%d" % i, "reused %d\n" % i)
        os.link("src/e%d" % i, "src/f%d" % i)
    os.rename("src/e7", "src/d/b")


code, text = race("reuse", UP_TO_0 + ["src/d/a"], reuse)
check("reuse: b: " + read("out/src/d/b"), read("out/src/d/b") == "reused 7\n")


# Directories and files that become links to what is not ours to give.
def swap_directory():
    os.rename("src/d", "src/moved")
    os.symlink("../private", "src/d")


for names in (["src"], ["src", "src/d"], UP_TO_0):
    code, text = race("swapped", names, swap_directory)
    check("swapped: %d %s" % (code, text), code == 3 and "changed" in text)
    for base, _, files in os.walk("out"):
        for f in files:
            check("swapped: %s/%s" % (base, f),
                  read(os.path.join(base, f)) != "secret\n")


def swap_file():
    os.unlink("src/d/a")
    os.symlink("../../private/a", "src/d/a")


code, text = race("link", UP_TO_0, swap_file)
check("link: it is stored as one", os.path.islink("out/src/d/a"))
check("link: the other name", read("out/src/d/b") == "precious\n")


# A directory that is moved away while it is read
def move():
    os.rename("src/d", "private/d")


code, text = race("moved", UP_TO_0, move)
check("moved: %d %s" % (code, text), code == 3 and "changed" in text)
check("moved: e", read("out/src/e") == "last\n")


# A file that becomes something that must not be opened for long
def swap_fifo():
    os.unlink("src/d/a")
    os.mkfifo("src/d/a")


code, text = race("fifo", UP_TO_0, swap_fifo)
check("fifo: %d" % code, code == 3 and os.path.exists("out/src/d/a") and
      not os.path.isfile("out/src/d/a"))


# New files, and directories that become files
code, text = race("new", UP_TO_0, lambda: write("src/d/new", "new\n"))
check("new: %d %s" % (code, text), code == 3 and "src/d: changed" in text)


def to_file():
    shutil.rmtree("src/d")
    write("src/d", "file\n")


code, text = race("file", ["src"], to_file)
check("file: %d %s" % (code, text), read("out/src/d") == "file\n")


# --verify compares by the same rule: what is another file now is not compared.
def verify(what, change, want, code_wanted):
    fresh()
    held = Held(UP_TO_0 + ["src/d/a"], ["--verify", "src", "v"])
    check(what + ": it did not wait", held.waiting)
    change()
    code, text = held.go()
    check("%s: %d %s" % (what, code, text),
          code == code_wanted and (want in text))
    check(what + ": DIFFERS", "DIFFERS" not in text)


def same_but_other():
    st = os.stat("src/d/0")
    replace("src/d/0", "evil\n")
    os.utime("src/d/0", ns=(st.st_atime_ns, st.st_mtime_ns))


verify("verify", same_but_other, "src/d/0: changed since it was stored", 3)


def swap_below():
    os.rename("src/d", "kept")
    os.symlink("../kept", "src/d")


verify("verify link", swap_below, "src/d/0: changed since it was stored", 3)
shutil.rmtree("kept")
sys.exit(failed)
END
python3 races.py "$tool"
