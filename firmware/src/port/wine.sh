#!/usr/bin/env bash
# Runs a Windows program under Wine, without a window, with a Wine folder of its own and what firmware/setup made.
set -euo pipefail
tools=$(cd "$(dirname "$0")/../../target/tools" && pwd)
export WINEPREFIX=$tools/wine/prefix WINEPATH=$tools/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
mkdir -p "$WINEPREFIX"
exec wine "$@"
