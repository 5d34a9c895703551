#!/usr/bin/env python3
"""Builds Dockerfiles with Coracle and with buildah, and compares the images: config and files, with their modes, owners and contents.

    tests/compare-build.py CORACLE [CASE...]

It needs buildah and root's rights, and no network. Each case is one Dockerfile; what may differ is named beside it, and docs/build.md
says why. It fails if anything else differs, or if something that is said to differ does not.
"""
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

# Context that all cases have: path -> text; None is a directory, and "->" starts the target of a link.
CONTEXT = {
    "a.txt": "a\n",
    "b.txt": "b\n",
    "c.md": "c\n",
    "run.sh": "#!/bin/sh\n",
    "sp ace.txt": "space\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\napp:x:123:456::/home/app:/bin/sh\n",
    "etc/group": "root:x:0:\ngrp:x:789:\n",
    "dir/one": "1\n",
    "dir/two.txt": "2\n",
    "dir/sub/three": "3\n",
    "dir/sub/deep/four.md": "4\n",
    "dir/empty": None,
    "dir/link": "->one",
    "dir/dangling": "->nowhere",
    "dir/up": "->../a.txt",
    "other/five": "5\n",
    "Dockerfile.inner": "FROM x\n",
}

# name -> (Dockerfile, options, what differs)
CASES = {
    "scratch-label": ("FROM scratch\nLABEL a=b\n",),
    "copy-file": ("FROM scratch\nCOPY a.txt /\n",),
    "copy-rename": ("FROM scratch\nCOPY a.txt /x\n",),
    "copy-into": ("FROM scratch\nCOPY a.txt /d/\n",),
    "copy-deep": ("FROM scratch\nCOPY a.txt /d/e/f/g\n",),
    "copy-several": ("FROM scratch\nCOPY a.txt b.txt c.md /d/\n",),
    "copy-dir": ("FROM scratch\nCOPY dir /d\n",),
    "copy-dir-into-slash": ("FROM scratch\nCOPY dir/ /d/\n",),
    "copy-two-dirs": ("FROM scratch\nCOPY dir other /d/\n",),
    "copy-all": ("FROM scratch\nCOPY . /\n",),
    "copy-wildcard": ("FROM scratch\nCOPY *.txt /d/\n",),
    "copy-question": ("FROM scratch\nCOPY ?.txt /d/\n",),
    "copy-class": ("FROM scratch\nCOPY [ab].txt /d/\n",),
    "copy-wildcard-dir": ("FROM scratch\nCOPY d*r /d/\n",),
    "copy-json": ('FROM scratch\nCOPY ["sp ace.txt", "/d e/"]\n',),
    "copy-relative": ("FROM scratch\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt x/\n",),
    "copy-over": ("FROM scratch\nCOPY a.txt /x\nCOPY b.txt /x\n",),
    "copy-merge": ("FROM scratch\nCOPY dir /d\nCOPY other /d\n",),
    "copy-chown": ("FROM scratch\nCOPY --chown=7:8 dir /d\n",),
    "copy-chown-file": ("FROM scratch\nCOPY --chown=7:8 a.txt /x\n",),
    "copy-chown-user": ("FROM scratch\nCOPY --chown=7 a.txt /x\n",),
    "copy-chown-name": ("FROM scratch\nCOPY etc /etc\nCOPY --chown=app:grp a.txt /x\n",),
    "copy-chown-name-alone": ("FROM scratch\nCOPY etc /etc\nCOPY --chown=app a.txt /x\n",),
    "copy-chmod": ("FROM scratch\nCOPY --chmod=600 a.txt /x\n",),
    "copy-chmod-setuid": ("FROM scratch\nCOPY --chmod=4755 run.sh /x\n",),
    "copy-exclude": ("FROM scratch\nCOPY --exclude=*.md --exclude=sub dir /d\n", [], {"unsupported"}),
    "copy-here-document": ("FROM scratch\nCOPY <<one.txt /d/\nhello\none.txt\n", [], {"unsupported"}),
    "copy-here-documents": ("FROM scratch\nCOPY <<one <<'two' /d/\nfirst\none\nsecond $x\ntwo\n", [], {"unsupported"}),
    "copy-link": ("FROM scratch\nCOPY --link a.txt /x\n", [], {"unsupported"}),
    "program-mode": ("FROM scratch\nCOPY run.sh /bin/run\n",),
    "stage-copy": ("FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d /e\n",),
    "stage-number": ("FROM scratch\nCOPY a.txt /x\nFROM scratch\nCOPY --from=0 /x /y\n",),
    "stage-base": ("FROM scratch AS one\nCOPY a.txt /x\nENV A=1\nFROM one\nCOPY b.txt /y\n",),
    "stage-unused": ("FROM scratch AS one\nCOPY missing /\nFROM scratch\nCOPY a.txt /\n",),
    "stage-target": ("FROM scratch AS one\nCOPY a.txt /x\nFROM scratch AS two\nCOPY b.txt /y\n", ["--target", "one"]),
    "stage-modes": ("FROM scratch AS one\nCOPY --chmod=4711 --chown=1:2 a.txt /x\nFROM scratch\nCOPY --from=one /x /y\n",),
    "stage-link": ("FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/link /file\n",),
    "stage-wildcard": ("FROM scratch AS one\nCOPY dir /d\nFROM scratch\nCOPY --from=one /d/*.txt /e/\n",),
    "stage-root": ("FROM scratch AS one\nCOPY dir /d\nCOPY a.txt /\nFROM scratch\nCOPY --from=one / /all/\n",),
    "add-file": ("FROM scratch\nADD a.txt /x\n",),
    "add-dir": ("FROM scratch\nADD dir /d\n",),
    "add-tar": ("FROM scratch\nADD t.tar /d/\n",),
    "add-tar-gz": ("FROM scratch\nADD t.tar.gz /d/\n",),
    "add-tar-bz2": ("FROM scratch\nADD t.tar.bz2 /d/\n",),
    "add-tar-xz": ("FROM scratch\nADD t.tar.xz /d/\n",),
    "add-tar-copy": ("FROM scratch\nCOPY t.tar /d/\n",),
    "env": ("FROM scratch\nENV A=1 B=\"two words\" C=$A\nENV D=$A-${B}\n",),
    "env-old": ("FROM scratch\nENV A some words\n",),
    "env-operators": ("FROM scratch\nENV A=x E=\nENV B=${A:-no} C=${N:-yes} D=${A:+set} F=${N:+set} G=${E:-empty}\n",),
    "arg": ("FROM scratch\nARG A=1\nARG B\nENV C=$A D=$B\n", ["--build-arg", "B=2"]),
    "arg-global": ("ARG V=1\nFROM scratch\nARG V\nENV W=$V\n",),
    "arg-from": ("ARG base=scratch\nFROM ${base}\nCOPY a.txt /\n",),
    "arg-scope": ("FROM scratch AS one\nARG A=1\nCOPY a.txt /x\nFROM scratch\nENV B=[$A]\nCOPY --from=one /x /\n",),
    "workdir": ("FROM scratch\nWORKDIR /a\nWORKDIR b\nWORKDIR ../c\n",),
    "workdir-env": ("FROM scratch\nENV D=/x\nWORKDIR $D/y\n",),
    "cmd": ("FROM scratch\nCMD [\"/a\", \"b c\"]\n",),
    "cmd-shell": ("FROM scratch\nCMD echo $HOME\n",),
    "entrypoint": ("FROM scratch\nENTRYPOINT [\"/a\"]\nCMD [\"b\"]\n",),
    "entrypoint-shell": ("FROM scratch\nENTRYPOINT exec /a\n",),
    "entrypoint-clears-cmd": ("FROM scratch AS one\nCMD [\"x\"]\nFROM one\nENTRYPOINT [\"/a\"]\n",),
    "user": ("FROM scratch\nUSER 1:2\n",),
    "expose": ("FROM scratch\nEXPOSE 80 53/udp\n",),
    "volume": ("FROM scratch\nVOLUME /v\nVOLUME [\"/w\", \"/x\"]\n", [], {"files"}),
    "label": ("FROM scratch\nLABEL a=1 b=\"x y\" \"c d\"=e\nLABEL a=2\n",),
    "maintainer": ("FROM scratch\nMAINTAINER me\n",),
    "stopsignal": ("FROM scratch\nSTOPSIGNAL SIGINT\n",),
    "shell": ("FROM scratch\nSHELL [\"/bin/x\", \"-c\"]\nCMD y\n", [], {"config"}),
    "healthcheck": ("FROM scratch\nHEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD [\"/a\"]\n",),
    "healthcheck-shell": ("FROM scratch\nHEALTHCHECK --start-period=1m CMD a || b\n",),
    "healthcheck-none": ("FROM scratch\nHEALTHCHECK NONE\n",),
    "onbuild": ("FROM scratch\nONBUILD COPY a.txt /\nONBUILD ENV A=1\n",),
    "dockerignore": ("FROM scratch\nCOPY . /\n", [], set(), {".dockerignore": "*.md\ndir/sub\n!dir/sub/three\n# no\nother\n"}),
    "dockerignore-all-but": ("FROM scratch\nCOPY . /\n", [], {"files"}, {".dockerignore": "*\n!dir/**/*.md\n!a.txt\n"}),
    "dockerignore-deep": ("FROM scratch\nCOPY . /\n", [], set(), {".dockerignore": "**/*.txt\n"}),
    "continuation": ("FROM scratch\nENV A=1 \\\n  # comment\n  B=2\nCOPY a.txt \\\n  b.txt \\\n  /d/\n",),
    "escape": ("# escape=`\nFROM scratch\nENV A=1 `\n  B=2\n",),
    "label-flag": ("FROM scratch\n", ["--label", "x=y"]),
}

CONFIG = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Shell", "Healthcheck", "OnBuild"]


def run(arguments, **more):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, **more)


def make_context(root, more):
    for path, text in {**CONTEXT, **more}.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if text is None:
            os.makedirs(full)
        elif text.startswith("->"):
            os.symlink(text[2:], full)
        else:
            with open(full, "w") as file:
                file.write(text)
            os.chmod(full, 0o755 if path.endswith(".sh") else 0o644)
    for suffix, mode in [("", "w"), (".gz", "w:gz"), (".bz2", "w:bz2"), (".xz", "w:xz")]:
        with tarfile.open(os.path.join(root, "t.tar" + suffix), mode) as archive:
            for name, kind, text, link in [
                ("p", tarfile.DIRTYPE, "", ""),
                ("p/f", tarfile.REGTYPE, "text\n", ""),
                ("p/l", tarfile.SYMTYPE, "", "f"),
                ("h", tarfile.LNKTYPE, "", "p/f"),
            ]:
                member = tarfile.TarInfo(name)
                member.type, member.linkname, member.size = kind, link, len(text)
                member.mode, member.uid, member.gid = (0o750 if kind == tarfile.DIRTYPE else 0o640), 5, 6
                archive.addfile(member, io.BytesIO(text.encode()))


def files(path):
    """What a tar archive of a root file system holds, but for times."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.strip("/").removeprefix("./")
            if name in ("", "."):
                continue
            if member.islnk():
                found[name] = found[member.linkname.strip("/").removeprefix("./")]
                continue
            content = ""
            if member.isfile():
                content = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
            kind = "d" if member.isdir() else "l" if member.issym() else "f"
            mode = 0o777 if kind == "l" else member.mode & 0o7777
            found[name] = (kind, oct(mode), member.uid, member.gid, member.linkname, content)
    return found


def config(document):
    inner = document.get("config") or {}
    out = {field: inner.get(field) or None for field in CONFIG}
    labels = dict(out["Labels"] or {})
    labels.pop("io.buildah.version", None)
    out["Labels"] = labels or None
    out["author"] = document.get("author") or None
    out["platform"] = document.get("os"), document.get("architecture")
    return out


def read_archive(path):
    """The config of the image in a tar of Docker's."""
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        return json.load(archive.extractfile(manifest[0]["Config"]))


def build(tool, work, context, dockerfile, options, name):
    """Builds with one tool; returns config and files, or what it complains of."""
    tree, image = os.path.join(work, name + ".tree"), os.path.join(work, name + ".image")
    for path, output in [(tree, "tree"), (image, "image")]:
        if os.path.exists(path):
            os.remove(path)
        done = tool(context, dockerfile, options, path, output)
        if done.returncode != 0:
            return None, done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return (config(read_archive(image)), files(tree)), None


def coracle(program, root):
    def tool(context, dockerfile, options, path, output):
        kind = "tar" if output == "tree" else "docker"
        return run([program, "--root", root, "build", "-q", "-f", dockerfile, "-t", "compare", "--platform", "linux/amd64",
                    "-o", f"type={kind},dest={path}", *options, context])
    return tool


def buildah(root):
    base = ["buildah", "--root", os.path.join(root, "root"), "--runroot", os.path.join(root, "run"), "--storage-driver", "vfs"]

    def tool(context, dockerfile, options, path, output):
        bud = [*base, "bud", "-q", "--format", "docker", "--isolation", "chroot", "--platform", "linux/amd64", "-f", dockerfile, *options]
        if output == "tree":
            return run([*bud, "-o", f"type=tar,dest={path}", context])
        done = run([*bud, "-t", "compare", context])
        return done if done.returncode else run([*base, "push", "-q", "compare", f"docker-archive:{path}:compare:latest"])
    return tool


def differences(ours, theirs):
    found = []
    for field in ours[0]:
        left, right = ours[0][field], theirs[0][field]
        # Docker gives images from nothing a search path and a directory, as Coracle does; buildah gives neither.
        if field == "Env":
            left = [entry for entry in left or [] if not entry.startswith("PATH=/usr/local/sbin")]
            right = [entry for entry in right or [] if not entry.startswith("PATH=/usr/local/sbin")]
        if field == "WorkingDir":
            left, right = left or "/", right or "/"
        if left != right:
            found.append(("config", f"{field}: {left!r} is {right!r} with buildah"))
    for path in sorted(set(ours[1]) | set(theirs[1])):
        left, right = ours[1].get(path), theirs[1].get(path)
        if left != right:
            found.append(("files", f"/{path}: {left} is {right} with buildah"))
    return found


def main():
    program, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    os.umask(0o022)
    work = tempfile.mkdtemp(prefix="compare-build-")
    failed = same = explained = 0
    try:
        ours, theirs = coracle(program, os.path.join(work, "coracle")), buildah(os.path.join(work, "buildah"))
        for name, case in CASES.items():
            if wanted and name not in wanted:
                continue
            dockerfile, options, expected, more = (*case, *([], set(), {})[len(case) - 1:])
            context = os.path.join(work, "context-" + name)
            make_context(context, more)
            path = os.path.join(work, "Dockerfile-" + name)
            with open(path, "w") as file:
                file.write(dockerfile)
            left, problem = build(ours, work, context, path, options, "ours")
            if left is None:
                print(f"FAIL {name}: coracle: {problem}")
                failed += 1
                continue
            right, problem = build(theirs, work, context, path, options, "theirs")
            if right is None:
                if "unsupported" in expected:
                    print(f"only coracle builds {name}: {problem}")
                    explained += 1
                else:
                    print(f"FAIL {name}: buildah: {problem}")
                    failed += 1
                continue
            found = differences(left, right)
            unexpected = [text for kind, text in found if kind not in expected]
            for text in unexpected:
                print(f"FAIL {name}: {text}")
            for kind, text in found:
                if kind in expected:
                    print(f"explained {name}: {text}")
            failed += bool(unexpected)
            explained += bool(found) and not unexpected
            same += not found
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{same} the same, {explained} explained, {failed} different, of {len(wanted or CASES)}")
    sys.exit(bool(failed))


main()
