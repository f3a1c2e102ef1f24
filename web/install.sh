#!/bin/sh
# Installs what builds and tests the files for browsers: node and npm from Debian where they are missing, and the packages of
# package-lock.json, each with its checksum, into node_modules. Nothing that a package brings is run while it is installed.
set -eu
cd "$(dirname "$0")"

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root="sudo --non-interactive"
fi
installed() { command -v node >/dev/null && command -v npm >/dev/null; }
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
		-o DPkg::Lock::Timeout=300 nodejs npm
}
# Lists of packages may be missing or old.
installed || install || { $as_root apt-get update --quiet && install; } || true
installed || {
	echo "what browsers run is built by node; install the Debian packages nodejs and npm as root" >&2
	exit 1
}

# npm removes what is there before it installs, so it is asked only when something changed.
stamp=node_modules/.lock-that-is-installed
if ! cmp --silent package-lock.json "$stamp"; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp package-lock.json "$stamp"
fi
