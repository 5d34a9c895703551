# The tiny guests: one C program for each behaviour, compiled into the cache. Sourced by tests/run.sh.

# Compiles every tests/guests/*.c, and those in tests/guests/bare, and prints the folder. The folder's name tells sources, flags and compiler, so
# that a changed guest is compiled anew and two checkouts do not disturb each other.
build_guests() {
    local sources=$1 cache=$2 key folder work source
    key=$( (clang-14 --version; cat "${BASH_SOURCE[0]}"; cd "$sources"; sha256sum -- *.c bare/*.c) | sha256sum)
    folder=$cache/guests-${key:0:16}
    if [ ! -d "$folder" ]; then
        say "compiling the guests in tests/guests"
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/.guests.XXXXXX")
        for source in "$sources"/*.c; do
            compile_guest "$source" "$work/$(basename "$source" .c).wasm" ||
                { rm -rf "$work"; fail "could not compile $source"; }
        done
        for source in "$sources"/bare/*.c; do
            compile_bare "$source" "$work/$(basename "$source" .c).wasm" ||
                { rm -rf "$work"; fail "could not compile $source"; }
        done
        # mktemp's folder is for its owner alone; who comes second finds the folder there, with the same bytes.
        chmod 755 "$work"
        mv -T "$work" "$folder" 2>/dev/null || rm -rf "$work"
    fi
    echo "$folder"
}

compile_guest() {
    clang-14 --target=wasm32-wasi --sysroot=/usr -Os -s -Wall -Werror -o "$2" "$1"
}

# A module with no C library and no start: what is called are its exports.
compile_bare() {
    clang-14 --target=wasm32 -nostdlib -fno-builtin -Wl,--no-entry -Os -s -Wall -Werror -o "$2" "$1"
}
