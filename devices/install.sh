#!/bin/sh
# Fetches the package of device patterns, its version and checksum as in requirements.txt, once into a folder (by default in the
# user's cache), and prints where in it the package is.
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's/^device_detector==\([^ ]*\).*/\1/p' requirements.txt)
sum=$(sed -n 's/.*--hash=sha256:\(.\{16\}\).*/\1/p' requirements.txt)
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/real-streaming/devices}/$version-$sum

if ! [ -e "$folder" ]; then
	mkdir -p "$(dirname "$folder")"
	new=$(mktemp -d "$folder.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	pip() { PIP_ROOT_USER_ACTION=ignore "$@" install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --only-binary :all: \
		--target "$new/files" --requirement requirements.txt >&2; }
	if python3 -m pip --version >/dev/null 2>&1; then
		pip python3 -m pip
	else
		python3 -m venv "$new/venv" >&2
		pip "$new/venv/bin/pip"
	fi
	chmod 755 "$new/files"
	# Whoever was quicker has installed the same.
	mv -T "$new/files" "$folder" 2>/dev/null || [ -e "$folder" ]
fi
echo "$folder/device_detector"
