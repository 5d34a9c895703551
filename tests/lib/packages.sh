# Debian packages and cargo-nextest: what is missing is installed, what is there is left alone.
# Sourced by tests/run.sh.

# Command that must be found, and the package that brings it. A file is looked for where no command tells.
needed_packages() {
    local line command package
    while read -r command package; do
        case $command in
        /*) [ -e "$command" ] || echo "$package" ;;
        *) command -v "$command" >/dev/null || echo "$package" ;;
        esac
    done <<'END'
docker-registry docker-registry
skopeo skopeo
strace strace
umoci umoci
bsdtar libarchive-tools
podman podman
ctr containerd
runc runc
/bin/busybox busybox-static
setpriv util-linux
buildah buildah
dockerd docker.io
htpasswd apache2-utils
jq jq
curl curl
openssl openssl
clang-14 clang-14
wasm-ld-14 lld-14
/usr/lib/wasm32-wasi/libc.a wasi-libc
/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a libclang-rt-14-dev-wasm32
cc gcc
/usr/include/stdlib.h libc6-dev
python3 python3
npm npm
/bin/busybox busybox-static
debootstrap debootstrap
newuidmap uidmap
ruby ruby
END
    python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

install_packages() {
    local missing
    missing=$(needed_packages | sort -u | tr '\n' ' ')
    missing=${missing% }
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null ||
        fail "these packages are missing and there is no apt-get here: $missing"
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        fail "needs root once. Run: sudo apt-get install --no-install-recommends $missing"
    fi
    say "installing through apt: $missing"
    # the packages of docker-registry and docker.io start services, which nobody asked for. Debian's switch against that
    # is a policy file; one that is there already has been put there for a reason and stays.
    local policy=/usr/sbin/policy-rc.d ours=no
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
        ours=yes
        # shellcheck disable=SC2064  # expanded now: the trap runs after this function has returned.
        trap "as_root rm -f $policy" EXIT
    fi
    # shellcheck disable=SC2086  # a list of package names.
    if ! apt_install $missing; then
        say "apt's lists seem old; updating them"
        as_root apt-get -q update >&2
        apt_install $missing || fail "apt could not install: $missing"
    fi
    if [ $ours = yes ]; then
        as_root rm -f $policy
        trap - EXIT
    fi
    # Nor shall they start with the next boot.
    local service
    for service in docker-registry docker.io; do
        case " $missing " in
        *" $service "*)
            if command -v systemctl >/dev/null; then
                as_root systemctl disable "${service%.io}" >/dev/null 2>&1 || true
            fi
            ;;
        esac
    done
    missing=$(needed_packages | sort -u | tr '\n' ' ')
    [ -z "$missing" ] || fail "still missing after the installation: $missing"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >&2 </dev/null
}

install_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return 0
    say "installing cargo-nextest; this takes some minutes, once"
    # Away from the checkout, whose settings are for Coracle.
    (cd / && env -u CARGO_TARGET_DIR cargo install --quiet --locked cargo-nextest@0.9.143 </dev/null) ||
        fail "could not install cargo-nextest"
}
