#!/bin/sh
# Installs Debian's Chromium and Firefox, which tests run, and certutil, by which Chromium trusts their certificates.
set -eu
installed() { [ -x /usr/bin/chromium ] && [ -x /usr/bin/firefox-esr ] && command -v certutil >/dev/null; }
! installed || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root="sudo --non-interactive"
fi
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
		-o DPkg::Lock::Timeout=300 chromium firefox-esr libnss3-tools
}
# Lists of packages may be missing or old.
install || { $as_root apt-get update --quiet && install; } || true
installed || {
	echo "the tests of browsers need the Debian packages chromium, firefox-esr and libnss3-tools; install them as root" >&2
	exit 1
}
