#!/bin/sh
# Installs the peers that Parley is measured beside, each in a folder of its own outside this repository.
#
#     benchmarks/peers/install.sh [litellm] [open-responses] [chainlit] [resumable-stream]
#
# Versions are those of the day; what was measured is written into the results. Nothing of Parley needs them.
set -eu

CACHE="${PARLEY_BENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parley-bench}"
HERE="$(cd "$(dirname "$0")" && pwd)"
mkdir -p "$CACHE"

python_peer() {  # name, packages
  name=$1; shift
  [ -x "$CACHE/$name/bin/python" ] || python3 -m venv "$CACHE/$name"
  "$CACHE/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

[ $# -gt 0 ] || set -- litellm open-responses chainlit resumable-stream
for peer in "$@"; do
  echo "installing $peer into $CACHE/$peer"
  case $peer in
    litellm) python_peer litellm 'litellm[proxy]' ;;
    open-responses) python_peer open-responses open-responses-server ;;
    chainlit) python_peer chainlit chainlit openai ;;
    resumable-stream)
      mkdir -p "$CACHE/resumable-stream"
      cp "$HERE/resumable_stream.mjs" "$CACHE/resumable-stream/server.mjs"
      (cd "$CACHE/resumable-stream" && npm install --silent --no-fund --no-audit resumable-stream redis) ;;
    *) echo "no such peer: $peer" >&2; exit 2 ;;
  esac
done
