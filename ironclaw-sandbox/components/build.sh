#!/bin/sh
# Builds the committed components from their sources and writes their checksums.
# The sources' place on this machine is kept out of them.
set -eu
cd "$(dirname "$0")"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
sysroot="$(rustc --print sysroot)"
target="${CARGO_TARGET_DIR:-$PWD/../../target}/components"
RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$(cd ../guests && pwd)=/guests --remap-path-prefix=$sysroot=/rust" \
    cargo build --release --locked --target wasm32-wasip2 --manifest-path ../guests/Cargo.toml \
    --target-dir "$target" -p calculator -p noop
for name in calculator noop; do
    cp "$target/wasm32-wasip2/release/$name.wasm" .
    sha256sum "$name.wasm" >"$name.wasm.sha256"
done
