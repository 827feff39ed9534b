#!/bin/sh
# Installs axe-core and the official bridge of apps into .axe, once, and makes the host that the tests of the app use.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
folder=$root/.axe

if [ ! -f "$folder/node_modules/esbuild/package.json" ]; then
  command -v npm >/dev/null 2>&1 || { echo "npm is needed to install what tests the page." >&2; exit 1; }
  npm install --silent --no-save --no-audit --no-fund --prefix "$folder" \
    axe-core @modelcontextprotocol/ext-apps@2.0.4 @modelcontextprotocol/sdk zod esbuild >&2
fi
NODE_PATH=$folder/node_modules "$folder"/node_modules/@esbuild/*/bin/esbuild "$root/tests/pages/app_host.js" \
  --bundle --format=iife --log-level=error --outfile="$folder/app_host.js"
