# Linux images for the tests: busybox, and Debian by debootstrap from the mirror that apt has here. Sourced by tests/run.sh.

# Makes both root file systems as tars in a folder of the cache, and prints the folder. Needs root: debootstrap makes devices and
# runs what it has fetched. Without root the folder has busybox alone.
build_native() {
    local cache=$1 folder
    folder=$cache/native-1
    mkdir -p "$folder"
    [ -e "$folder/busybox.tar" ] || make_busybox "$folder" || fail "could not make the busybox image"
    if [ ! -e "$folder/debian.tar" ]; then
        if [ "$(id -u)" = 0 ]; then
            make_debian "$folder" || fail "could not make the Debian image; see $folder/debootstrap.log"
        else
            say "no Debian image is made, since that needs root: its tests are skipped"
        fi
    fi
    echo "$folder"
}

# One static program under all its names, and what a user database needs.
make_busybox() {
    local folder=$1 root name
    root=$(mktemp -d "$folder/.busybox.XXXXXX") || return
    mkdir -p "$root"/bin "$root"/etc "$root"/tmp "$root"/root "$root"/home/user "$root"/proc "$root"/sys "$root"/dev
    cp /bin/busybox "$root/bin/busybox" || return
    for name in $(/bin/busybox --list); do
        [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\nwheel:x:10:user\n' >"$root/etc/group"
    chmod 1777 "$root/tmp"
    pack "$root" "$folder/busybox.tar" --owner=0 --group=0 || return
    rm -rf "$root"
}

# The smallest Debian in which apt works.
make_debian() {
    local folder=$1 root mirror
    mirror=$(debian_mirror) || return
    say "making a Debian root file system; this takes a minute or two, once"
    root=$(mktemp -d "$folder/.debian.XXXXXX") || return
    debootstrap --variant=minbase bookworm "$root" "$mirror" >"$folder/debootstrap.log" 2>&1 </dev/null || return
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    pack "$root" "$folder/debian.tar" --numeric-owner || return
    rm -rf --one-file-system "$root"
}

# The mirror that apt uses here.
debian_mirror() {
    local mirror
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
    [ -n "$mirror" ] || { say "apt's sources name no mirror to make a Debian image from"; return 1; }
    echo "$mirror"
}

# Packs a root file system; it appears whole or not at all.
pack() {
    local root=$1 tar=$2
    shift 2
    # mktemp's folder is for its owner alone.
    chmod 755 "$root"
    tar --create --file "$tar.new" --directory "$root" --sort=name --xattrs "$@" . && mv "$tar.new" "$tar"
}
