#!/bin/sh
# Installs the servers that the benchmarks compare with, into .venv-bench and bench/.cache of this tree. Nobody calls it but you (make bench-peers): the benchmarks leave out what is not there.
#
#   bench/peers/install.sh [python] [node] [nats] [nchan] [centrifugo]      all of them without arguments
#
# pip, npm and Go get what they are told to by their own settings (mirrors, proxies). Debian packages are
# downloaded and unpacked, not installed: no root, no service that starts by itself, nothing to remove but
# the folder. What fails is said at the end, and the others go on.
set -u
cd "$(dirname "$0")/../.." || exit 1
cache=$PWD/bench/.cache
venv=$PWD/.venv-bench
mkdir -p "$cache"

has() { command -v "$1" >/dev/null 2>&1; }

need() {
	has "$1" && return
	echo "needs $1: $2" >&2
	return 1
}

install_python() {
	# Several names, because version managers put names on the path that lead nowhere.
	for name in ${PYTHON:-.venv/bin/python python3.14 python3.13 python3.12 python3.11 python3}; do
		"$name" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && break
		name=
	done
	[ -n "$name" ] || { echo "needs Python 3.11 or newer with its venv module: apt-get install python3-venv" >&2; return 1; }
	[ -x "$venv/bin/python" ] || "$name" -m venv "$venv" || return 1
	"$venv/bin/python" -m pip install --quiet --upgrade \
		picows socketify aiohttp uvicorn httptools websockets uvloop || return 1
	"$venv/bin/python" - <<-'END'
		import ctypes.util, sys
		if not ctypes.util.find_library("uv"):
		    sys.exit("socketify is linked to libuv, which is not here: apt-get install libuv1")
	END
}

install_node() {
	need node "https://nodejs.org, or apt-get install nodejs npm" && need npm "apt-get install npm" || return 1
	mkdir -p "$cache/node" &&
		npm install --prefix "$cache/node" --no-audit --no-fund --loglevel=error ws bufferutil
}

install_go() {
	need go "https://go.dev/dl" && GOBIN="$cache/go" go install "$1"
}

install_debian() {
	need apt-get "this way is only for Debian and its children" && need dpkg-deb "apt-get install dpkg" || return 1
	scratch=$(mktemp -d) || return 1
	# apt would otherwise remark that its own user may not write there.
	(cd "$scratch" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@") ||
		{ rm -rf "$scratch"; echo "no such package, or no package lists: apt-get update" >&2; return 1; }
	for package in "$scratch"/*.deb; do
		dpkg-deb -x "$package" "$cache/debian" || { rm -rf "$scratch"; return 1; }
	done
	rm -rf "$scratch"
}

linked() {
	lacking=$(ldd "$1" | grep 'not found') || return 0
	echo "$1 needs what is not here; apt-get install it:" "$lacking" >&2
	return 1
}

install_nats() {
	# Debian's is years old; it is still better than none.
	install_go github.com/nats-io/nats-server/v2@latest || install_debian nats-server
}

install_nchan() {
	install_debian nginx libnginx-mod-nchan && linked "$cache/debian/usr/sbin/nginx" || return 1
	# The module has this path built in; the one thing here outside of the tree.
	[ -d /var/lib/nginx/body ] || mkdir -p /var/lib/nginx/body || {
		echo "as root: mkdir -p /var/lib/nginx/body" >&2
		return 1
	}
}

install_centrifugo() {
	install_go github.com/centrifugal/centrifugo/v6@latest
}

failed=
for part in ${*:-python node nats nchan centrifugo}; do
	case $part in
	python | node | nats | nchan | centrifugo) ;;
	*)
		echo "$0: no part '$part'; there are python node nats nchan centrifugo" >&2
		exit 2
		;;
	esac
	echo "installing $part"
	"install_$part" || failed="$failed $part"
done
if [ -n "$failed" ]; then
	echo "not installed:$failed (their own words stand above); the benchmarks leave them out" >&2
	exit 1
fi
