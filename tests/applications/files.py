"""File work with the standard library in one folder, told in lines that are the same wherever it is done."""

import errno
import glob
import hashlib
import io
import os
import pathlib
import shutil
import sys
import tarfile
import tempfile
import zipfile

base = pathlib.Path(sys.argv[1])
base.mkdir(parents=True, exist_ok=True)
os.environ["TMPDIR"] = str(base)


def say(what, *values):
    print(what, *values)


def refused(what, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
        say(what, "works")
    except OSError as error:
        say(what, errno.errorcode.get(error.errno, error.errno))
    except shutil.Error:
        say(what, "shutil.Error")


def digest(folder):
    """One hash of all names, kinds and bytes below a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        if path.is_symlink():
            whole.update(b"l" + os.readlink(path).encode())
        elif path.is_file():
            whole.update(b"f" + path.read_bytes())
    return whole.hexdigest()[:16]


# pathlib
tree = base / "tree"
for top in range(8):
    for middle in range(10):
        folder = tree / f"top-{top}" / f"middle-{middle}"
        folder.mkdir(parents=True)
        for leaf in range(20):
            (folder / f"leaf-{leaf}.txt").write_text(f"{top}/{middle}/{leaf}\n" * (leaf + 1))
say("tree", sum(1 for _ in tree.rglob("*.txt")), digest(tree))
one = tree / "top-3" / "middle-4" / "leaf-5.txt"
say("parts", one.relative_to(base).parts, one.stem, one.suffix, one.exists(), one.is_dir())
say("resolve", (tree / "top-3" / ".." / "top-4").resolve() == tree / "top-4")
link = base / "link"
link.symlink_to(one)
say("link", link.is_symlink(), link.read_text() == one.read_text(), link.resolve() == one)
say("samefile", link.samefile(one), one.samefile(tree / "top-3" / "middle-4" / "leaf-6.txt"))
before = one.stat()
with one.open("a") as file:
    file.write("more")
after = one.stat()
say("number stays", before.st_ino == after.st_ino, after.st_size - before.st_size)
refused("mkdir again", tree.mkdir)
refused("rmdir of a full one", tree.rmdir)
refused("unlink of a folder", (tree / "top-1").unlink)
refused("open of nothing", (base / "none").open)
refused("open of a folder", open, tree, "r+")
refused("open x", one.open, "x")
say("glob", len(glob.glob(str(tree / "top-[1-3]" / "*" / "leaf-1*.txt"))))

# os.walk, both ways, and scandir
counts = [0, 0]
for root, folders, files in os.walk(tree):
    counts[0] += len(folders)
    counts[1] += len(files)
say("walk", *counts)
say("walk up", sum(len(files) for _, _, files in os.walk(tree, topdown=False)))
with os.scandir(tree / "top-0" / "middle-0") as entries:
    found = sorted((entry.name, entry.is_file(), entry.inode() == entry.stat().st_ino) for entry in entries)
say("scandir", found[0], found[-1], len(found))

# shutil
copy = base / "copy"
shutil.copytree(tree, copy, symlinks=True)
say("copytree", digest(copy) == digest(tree))
shutil.copy2(one, base / "single")
say("copy2", (base / "single").stat().st_mtime_ns // 10**9 == one.stat().st_mtime_ns // 10**9)
shutil.move(copy / "top-0", base / "moved")
say("move", len(list((base / "moved").iterdir())), (copy / "top-0").exists())
refused("copytree over", shutil.copytree, tree, copy)
shutil.rmtree(copy)
say("rmtree", copy.exists())

# open files
with (base / "seek").open("w+b") as file:
    file.write(b"0123456789")
    file.seek(3)
    file.write(b"abc")
    file.seek(-2, os.SEEK_END)
    say("seek", file.read(), file.tell())
    file.truncate(5)
    file.seek(20)
    file.write(b"end")
    file.flush()
    file.seek(0)
    say("hole", file.read())
descriptor = os.open(base / "raw", os.O_RDWR | os.O_CREAT, 0o644)
os.write(descriptor, b"raw bytes")
say("pread", os.pread(descriptor, 5, 4), os.fstat(descriptor).st_size)
os.unlink(base / "raw")
os.lseek(descriptor, 0, os.SEEK_SET)
say("after unlink", os.read(descriptor, 3), (base / "raw").exists())
os.close(descriptor)
os.utime(base / "seek", (1_000_000_000, 1_234_567_890))
say("utime", int((base / "seek").stat().st_atime), int((base / "seek").stat().st_mtime))
os.link(base / "seek", base / "hard")
say("link", (base / "hard").stat().st_nlink, (base / "hard").samefile(base / "seek"))
os.replace(base / "hard", base / "single")
say("replace", (base / "single").read_bytes() == (base / "seek").read_bytes())
say("long name", (base / ("n" * 255)).write_bytes(b"x"))
os.remove(base / ("n" * 255))
refused("longer name", (base / ("n" * 256)).write_bytes, b"x")
for name in ["ünïcödé-日本", "with space", "-dash", "quote'\"", "a\\b", "CON", "Case", "case", "trailing."]:
    (base / name).write_text(name)
say("names", sorted(name for name in os.listdir(base) if (base / name).is_file() and not (base / name).is_symlink()))

# zipfile
with zipfile.ZipFile(base / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(tree.rglob("*.txt")):
        archive.write(path, path.relative_to(tree))
with zipfile.ZipFile(base / "all.zip") as archive:
    say("zip", len(archive.namelist()), archive.testzip())
    archive.extractall(base / "unzipped")
say("unzipped", digest(base / "unzipped") == digest(tree))

# tarfile
with tarfile.open(base / "all.tar.gz", "w:gz") as archive:
    archive.add(tree, "tree")
    archive.add(link, "link")
with tarfile.open(base / "all.tar.gz") as archive:
    say("tar", len(archive.getnames()), archive.getmember("link").issym())
    archive.extractall(base / "untarred", members=[m for m in archive if m.name.startswith("tree")])
say("untarred", digest(base / "untarred" / "tree") == digest(tree))

# tempfile
with tempfile.TemporaryDirectory(dir=base) as folder:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(b"x" * 100_000)
    say("tempfile", os.path.getsize(file.name), len(os.listdir(folder)))
say("tempfile gone", os.path.exists(folder))
with tempfile.TemporaryFile(dir=base) as file:
    file.write(b"nameless")
    file.seek(0)
    say("nameless", file.read())
spooled = tempfile.SpooledTemporaryFile(max_size=10, dir=base)
spooled.write(b"more than ten bytes")
spooled.seek(0)
say("spooled", spooled.read())
spooled.close()

# A large file, and thousands in one folder
block = hashlib.sha256(b"block").digest() * 2048
with (base / "large").open("wb") as file:
    for _ in range(256):
        file.write(block)
say("large", (base / "large").stat().st_size, hashlib.sha256((base / "large").read_bytes()).hexdigest()[:16])
many = base / "many"
many.mkdir()
for number in range(3000):
    (many / str(number)).touch()
say("many", len(os.listdir(many)))
for number in range(0, 3000, 2):
    (many / str(number)).rename(many / f"even-{number}")
say("renamed", sum(name.startswith("even") for name in os.listdir(many)))
shutil.rmtree(many)
text = io.TextIOWrapper((base / "lines").open("wb"), encoding="utf-16", newline="\r\n")
text.write("eins\nzwei\n")
text.close()
say("lines", (base / "lines").read_bytes().hex())
shutil.rmtree(base)
say("end", base.exists())
