#!/usr/bin/env python3
"""Runs the command lines of `tests/compare/commands` with Coracle and with Docker, and compares what they do.

    tests/compare/run.py [--coracle PROGRAM] [--verbose]

A Docker daemon of its own is started, with its own data, socket and no network; it needs root. Every difference has to be listed,
with its reason, in docs/docker-differences.md, and every listed one has to exist. The images of both sides have the same names and
files: programs for WASI, and for Docker scripts of busybox that do the same.
"""

import argparse, io, os, pathlib, re, shlex, shutil, signal, subprocess, sys, tarfile, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEADING = "## Command by command"
GUESTS = ["hello", "exit7", "cat", "sleep", "files"]
SCRIPTS = {
    "hello": "echo hello\n",
    "exit7": "echo to stdout; echo to stderr >&2; exit 7\n",
    "cat": "exec /bin/busybox cat\n",
    "sleep": "echo sleeping; exec /bin/busybox sleep 3600\n",
    "files": 'for c; do IFS=,; set -- $c; case $1 in list) /bin/busybox ls "$2";; esac; done\n',
}


def fail(text):
    sys.exit(f"compare: error: {text}")


class Side:
    """One of the two programs, in a folder of its own."""

    def __init__(self, program, environment, folder):
        self.program, self.environment, self.folder = program, environment, folder
        folder.mkdir()
        (folder / "in.txt").write_text("in\n")
        (folder / "folder" / "sub").mkdir(parents=True)
        (folder / "folder" / "f").write_text("f\n")
        (folder / "folder" / "sub" / "g").write_text("g\n")

    def run(self, arguments, stdin=b""):
        done = subprocess.run(
            [self.program, *arguments], cwd=self.folder, env=self.environment, input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def must(self, *arguments, stdin=b""):
        code, out, err = self.run(arguments, stdin)
        if code != 0:
            fail(f"{self.program} {' '.join(arguments)}: {code} {err}")
        return out


def start_docker(folder):
    """Starts a daemon that touches nothing of the machine's but its own folder, and waits until it answers."""
    for program in ["/usr/sbin/dockerd", "/usr/bin/docker", "/bin/busybox"]:
        if not os.path.exists(program):
            fail(f"{program} is not there: apt-get install docker.io busybox-static")
    if os.getuid() != 0:
        fail("a Docker daemon needs root")
    folder.mkdir()
    log = open(folder / "log", "wb")
    daemon = subprocess.Popen(
        ["/usr/sbin/dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--host", f"unix://{folder}/sock",
         "--pidfile", folder / "pid", "--bridge=none", "--iptables=false"],
        stdout=log, stderr=log, start_new_session=True,
    )
    side = Side("/usr/bin/docker", {"PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_HOST": f"unix://{folder}/sock"}, folder / "work")
    for _ in range(300):
        if daemon.poll() is not None:
            fail("the Docker daemon ended: " + (folder / "log").read_text()[-2000:])
        if side.run(["version"])[0] == 0:
            return daemon, side
        time.sleep(0.1)
    daemon.terminate()
    fail("the Docker daemon does not answer")


def docker_image(docker, name):
    """Makes an image with busybox and a script in the place of the WebAssembly program."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in [("bin/busybox", open("/bin/busybox", "rb").read()), (f"{name}.wasm", ("#!/bin/busybox sh\n" + SCRIPTS[name]).encode())]:
            member = tarfile.TarInfo(path)
            member.mode, member.size = 0o755, len(data)
            tar.addfile(member, io.BytesIO(data))
    docker.must("import", "-c", f'ENTRYPOINT ["/{name}.wasm"]', "-", name, stdin=archive.getvalue())


def coracle_image(coracle, name, guests, folder):
    context = folder / name
    (context / "bin").mkdir(parents=True)
    shutil.copy(guests / f"{name}.wasm", context / f"{name}.wasm")
    (context / "bin" / "busybox").write_text("in the place of busybox\n")
    (context / "Dockerfile").write_text(f'FROM scratch\nCOPY {name}.wasm /\nCOPY bin /bin/\nENTRYPOINT ["/{name}.wasm"]\n')
    coracle.must("build", "-q", "-t", name, str(context))


def normal(text):
    """Makes equal what must differ: ids, times, sizes, and the width of columns."""
    for pattern, word in [
        (r"sha256:[0-9a-f]{64}", "<DIGEST>"), (r"\b[0-9a-f]{64}\b", "<ID>"), (r"\b[0-9a-f]{12}\b", "<SHORT>"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z)?", "<TIME>"),
        (r"(About an? (minute|hour)|Less than a second|\d+ (second|minute|hour)s?)( ago)?", "<AGE>"),
        (r"\b\d+(\.\d+)?[kMG]?B\b", "<SIZE>"), (r"[ \t]+", " "),
    ]:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def cases():
    for line in (HERE / "commands").read_text().splitlines():
        if line and not line.startswith("#"):
            found = re.match(r"(code|sorted|pipe [^:]*|only [a-z]+):(.*)", line)
            how, command = found.groups() if found else ("", line)
            yield how, command


def listed():
    """Reads the differences that are known: the first column is the command line."""
    text = (ROOT / "docs" / "docker-differences.md").read_text()
    if HEADING not in text:
        fail(f"docs/docker-differences.md has no heading `{HEADING}`")
    rows = {}
    for line in text.split(HEADING, 1)[1].splitlines():
        found = re.match(r"\| `` ?(.*?) ?`` \| (.*) \|$", line)
        if found:
            command = found.group(1).replace("\\|", "|")
            if command in rows:
                fail(f"listed twice: {command}")
            rows[command] = found.group(2)
    return rows


def compare(docker, coracle, verbose):
    known, used, count, wrong = listed(), set(), 0, []
    for how, command in cases():
        arguments = [word for word in shlex.split(command) if word != "</dev/null"]
        stdin = how[5:].encode() if how.startswith("pipe ") else b""
        sides = {"docker": docker, "coracle": coracle}
        if how.startswith("only "):
            sides[how[5:]].must(*arguments)
            continue
        count += 1
        got = {name: side.run(arguments, stdin) for name, side in sides.items()}
        if "--name" in arguments and arguments[0] in ("run", "create"):
            # Coracle keeps whole seconds, and has no order of containers within one.
            time.sleep(1.1)
        seen = {}
        for name, (code, out, _) in got.items():
            out = normal(out)
            if how == "sorted":
                out = "\n".join(sorted(out.splitlines()))
            seen[name] = (code,) if how == "code" else (code, out)
        same = seen["docker"] == seen["coracle"]
        if same == (command not in known):
            used.add(command)
            continue
        used.add(command)
        wrong.append(command)
        what = "listed as different, and is not any more" if same else "differs, and is not listed"
        print(f"compare: {command}: {what}")
        if verbose or not same:
            for name, (code, out, err) in got.items():
                print(f"    {name} ends with {code}")
                for text, mark in [(out, "|"), (err, "!")]:
                    for line in text.splitlines()[:8]:
                        print(f"    {mark} {line[:200]}")
    for command in sorted(set(known) - used):
        wrong.append(command)
        print(f"compare: {command}: is listed, and is not run")
    print(f"compare: {count} command lines, {count - len(known)} the same, {len(known)} differ as listed, {len(wrong)} wrong")
    return not wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--coracle", default=str(ROOT / "target" / "x86_64-unknown-linux-gnu" / "release" / "coracle"))
    parser.add_argument("--guests", default=os.environ.get("CORACLE_TEST_GUESTS"), help="the folder with the compiled tests/guests")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if not options.guests:
        fail("name the folder with the compiled guests with --guests or CORACLE_TEST_GUESTS; tests/run.sh makes it")
    print("compare: SKIPPED: native Linux containers of Coracle are not compared here", file=sys.stderr)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coracle-compare-"))
    daemon, docker = start_docker(folder / "docker")
    try:
        home = {"PATH": os.environ["PATH"], "HOME": str(folder), "CORACLE_ROOT": str(folder / "data"), "DOCKER_CONFIG": str(folder)}
        coracle = Side(options.coracle, home, folder / "coracle")
        for name in GUESTS:
            docker_image(docker, name)
            coracle_image(coracle, name, pathlib.Path(options.guests), folder / "contexts")
        good = compare(docker, coracle, options.verbose)
    finally:
        for side in [docker] + ([coracle] if "coracle" in locals() else []):
            ids = side.run(["ps", "-aq"])[1].split()
            if ids:
                side.run(["rm", "-f", *ids])
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


main()
