#!/bin/sh
# Finds a Pub/Sub emulator for the tests: that of the Google Cloud CLI where it is installed, else Google's
# fake for Go, built once out of Debian's package into the folder that is given.
set -eu
folder=$1
cd "$(dirname "$0")"

for jar in /usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar; do
	! { [ -f "$jar" ] && command -v java >/dev/null; } || exit 0
done
! [ "$folder/pubsub-emulator" -nt emulator/main.go ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	as_root="sudo --non-interactive"
fi
install() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends \
		-o DPkg::Lock::Timeout=300 golang-go golang-google-cloud-dev
}
installed() { command -v go >/dev/null && [ -d /usr/share/gocode/src/cloud.google.com/go/pubsub/pstest ]; }
# Lists of packages may be missing or old.
installed || install || { $as_root apt-get update --quiet && install; } || true
installed || {
	echo "the tests of Pub/Sub need the Debian packages golang-go and golang-google-cloud-dev; install them as root" >&2
	exit 1
}
mkdir -p "$folder"
GOPATH=/usr/share/gocode GO111MODULE=off go build -o "$folder/pubsub-emulator" ./emulator
