"""Many processes do things to the same few containers at random, and others kill them meanwhile with SIGKILL. Afterwards nothing
may be left that nobody owns: no process, no folder, no name.

    storm.py CORACLE IMAGE SECONDS PROCESSES

The data folder is CORACLE_ROOT. Prints what was done; ends with 1 if something is wrong. The seed is printed, and SEED repeats the
choices (not the timing).
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time

coracle, image, seconds, processes = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
root = os.environ["CORACLE_ROOT"]
seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
names = [f"storm{number}" for number in range(12)]
policies = ["no", "no", "no", "on-failure:3", "always"]
end = time.monotonic() + seconds
done, problems, lock = {}, [], threading.Lock()
# Ours, Docker's, and those of signals and of the programs.
expected = {0, 1, 7, 125, 126, 127, 129, 130, 137, 143, -signal.SIGKILL}


def problem(text):
    with lock:
        problems.append(text)


def command(chance):
    name = chance.choice(names)
    program = chance.choice(["/sleep.wasm", "/sleep.wasm", "/exit7.wasm"])
    return chance.choice(
        [
            ["create", "--name", name, "--restart", chance.choice(policies), "--entrypoint", program, image],
            ["run", "-d", "--name", name, "--restart", chance.choice(policies), "--entrypoint", program, image],
            ["run", "-d", "--rm", "--name", name, "--entrypoint", program, image],
            ["run", "--rm", "--name", name, "--entrypoint", "/exit7.wasm", image],
            ["run", "-d", "-it", "--name", name, "--entrypoint", program, image],
            ["start", name],
            ["exec", name, "/exit7.wasm"],
            ["exec", "-d", name, "/sleep.wasm"],
            ["stop", "-t", "1", name],
            ["kill", name],
            ["restart", "-t", "1", name],
            ["pause", name],
            ["unpause", name],
            ["rename", name, chance.choice(names)],
            ["rm", name],
            ["rm", "-f", name],
            ["inspect", name],
            ["ps", "-a"],
            ["logs", name],
        ]
    )


def storm(number):
    chance = random.Random(seed + number)
    while time.monotonic() < end:
        words = command(chance)
        child = subprocess.Popen([coracle, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if chance.random() < 0.1:
            time.sleep(chance.random() * 0.02)
            child.kill()
        try:
            _, errors = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            problem(f"{words} did not end")
            continue
        if child.returncode not in expected:
            problem(f"{words} ended with {child.returncode}: {errors.decode(errors='replace')}")
        if b"panicked" in errors:
            problem(f"{words}: {errors.decode(errors='replace')}")
        with lock:
            key = (words[0], "well" if child.returncode == 0 else "not")
            done[key] = done.get(key, 0) + 1


def ours():
    """The processes of this program on this data folder, those started by this one included."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read().split("\0")
            environment = open(f"/proc/{pid}/environ").read() if words[0] == coracle else ""
            state = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1][0]
        except OSError:
            continue
        if (root in words or f"CORACLE_ROOT={root}" in environment) and state != "Z":
            found.append((int(pid), words))
    return found


def kill_at_random():
    chance = random.Random(seed - 1)
    while time.monotonic() < end:
        time.sleep(chance.random() * 0.2)
        behind = [pid for pid, words in ours() if "monitor" in words or "host" in words]
        if behind:
            try:
                os.kill(chance.choice(behind), signal.SIGKILL)
                done["kill -9", "well"] = done.get(("kill -9", "well"), 0) + 1
            except ProcessLookupError:
                pass


print(f"storm: seed {seed}, {processes} processes, {seconds:g} s", file=sys.stderr)
threads = [threading.Thread(target=storm, args=(number,)) for number in range(processes)]
threads.append(threading.Thread(target=kill_at_random))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for (what, how), count in sorted(done.items()):
    print(f"{what:10} {how:5} {count}")


def run(*words):
    result = subprocess.run([coracle, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return result


# What is running is removed, as a person would.
for _ in range(5):
    ids = run("ps", "-aq", "--no-trunc").stdout.split()
    if not ids:
        break
    removed = run("rm", "-f", *ids)
    if removed.returncode not in (0, 1):
        problem(f"rm -f ended with {removed.returncode}: {removed.stderr}")
left = run("ps", "-a").stdout.splitlines()[1:]
if left:
    problem(f"still there: {left}")
deadline = time.monotonic() + 15
while ours() and time.monotonic() < deadline:
    time.sleep(0.05)
for pid, words in ours():
    problem(f"process {pid} is nobody's: {words}")
# As if a minute had passed: what was in the making is given up by then.
for folder in ("names", "staging"):
    path = os.path.join(root, folder)
    for name in os.listdir(path) if os.path.isdir(path) else []:
        os.utime(os.path.join(path, name), (0, 0), follow_symlinks=False)
# A name whose container is cleared away in the first round leads nowhere only then.
for _ in range(2):
    checked = run("system", "check", "--repair")
for folder in ("containers", "ephemeral", "staging", "names"):
    path = os.path.join(root, folder)
    rest = os.listdir(path) if os.path.isdir(path) else []
    if rest:
        problem(f"{folder} holds {rest}; the check said {checked.stdout}{checked.stderr}")
again = run("system", "check")
if again.returncode != 0:
    problem(f"the check finds: {again.stdout}{again.stderr}")
for text in problems:
    print(f"storm: error: {text}", file=sys.stderr)
print(f"storm: {len(problems)} problems", file=sys.stderr)
sys.exit(bool(problems))
