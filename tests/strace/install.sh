#!/bin/sh
# Installs Debian's strace, by which tests let calls of the system fail, and prlimit.
set -eu
installed() { command -v strace >/dev/null && command -v prlimit >/dev/null; }
! installed || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root="sudo --non-interactive"
fi
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
		-o DPkg::Lock::Timeout=300 strace util-linux
}
# Lists of packages may be missing or old.
install || { $as_root apt-get update --quiet && install; } || true
installed || {
	echo "the tests of failing system calls need the Debian packages strace and util-linux; install them as root" >&2
	exit 1
}
