# shellcheck shell=bash
# Makes bare systems of this distribution. Sourced by run and bare, after conf/packaging/packages.sh:
#
#   skip REASON
#   find_suite                    sets suite, or skips
#   make_system FOLDER PACKAGE... unless it is there; or skips
#
# build_dir is where logs go.

skip() {
  echo "SKIP: $1"
  exit 77
}

find_suite() {
  # shellcheck source=/dev/null
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [[ -e /usr/share/debootstrap/scripts/$suite ]] || skip "debootstrap knows no distribution '$suite'"
}

# Of that suite if this host uses it, else of another one of Debian's: one mirror has all of them.
mirror() {
  local of
  for of in "Codename: $suite" "Origin: Debian"; do
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI)' "$of" "Created-By: Packages" "Component: main" |
      grep -m 1 -v security && return
  done
}

make_system() {
  local system=$1 unfinished
  shift
  [[ ! -d $system ]] || return 0
  echo "Making a bare $suite${1:+ with $*}"
  unfinished=$(mktemp -d "$system.XXXXXX")
  if ! debootstrap --variant=minbase ${1:+--include="$(IFS=, && echo "$*")"} "$suite" "$unfinished" \
    "$(mirror)" >"${build_dir:?}/debootstrap.log" 2>&1; then
    rm -rf --one-file-system "$unfinished"
    tail -n 3 "$build_dir/debootstrap.log"
    skip "debootstrap could not make a bare system"
  fi
  rm -rf "$unfinished"/var/cache/apt/archives/*.deb
  echo force-unsafe-io >"$unfinished/etc/dpkg/dpkg.cfg.d/test"
  chmod 755 "$unfinished"
  mv -T "$unfinished" "$system"
}
