# shellcheck shell=bash
# Installs what a command needs, on systems with apt, and configures the project. Sourced by
# conf/demo, tests/run and .ci/run:
#
#   SOURCE_DIR=... ; source conf/packages.sh
#   provision [--yes] PACKAGE...
#   configure_project BUILD_DIR [ARGUMENTS OF CMAKE]
#
# COLLECTD_ROOT is the root below which collectd is: empty for the system's own, else the
# folder that it is unpacked to. It is never installed, since its package enables a service.

# The commands hand these to provision.
# shellcheck disable=SC2034
{
  BUILD_PACKAGES=(g++ cmake ninja-build pkg-config libmnl-dev)
  RUN_PACKAGES=(python3 iproute2 libcap2) # collectd needs libcap2
  TEST_PACKAGES=(check mandoc man-db)
  DEB_PACKAGES=(dpkg-dev file)                       # what building packages needs
  DEB_TEST_PACKAGES=(debootstrap lintian util-linux) # and what testing them does
}
COLLECTD_PACKAGES=(collectd-core collectd-dev)

has_collectd() {
  [[ -x $1/usr/sbin/collectd && -e $1/usr/include/collectd/core/daemon/plugin.h ]]
}

if has_collectd ""; then
  COLLECTD_ROOT=
else
  COLLECTD_ROOT=$SOURCE_DIR/build/collectd
fi

as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    sudo "$@"
  fi
}

# needrestart (Ubuntu's default) would restart services after an installation.
apt_get_as_root() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status} ' "$1" 2>/dev/null) == *'installed '* ]]
}

has_candidate() {
  [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) =~ 'Candidate: '[^\(] ]]
}

# What `apt-get install` of the packages named would bring in or upgrade, one per line.
packages_with_dependencies() {
  LC_ALL=C apt-get install -s --no-install-recommends "$@" 2>/dev/null | awk '$1 == "Inst" {print $2}'
}

print_list() {
  printf '%s ' "$@" | fold -s -w 92 | sed 's/^/    /; s/ *$//'
  printf '\n'
}

# Unpacks beside the target and renames, so that two runs at once do no harm to each other.
unpack_collectd() {
  local target=$1 work unpacked package
  mkdir -p "$(dirname "$target")"
  work=$(mktemp -d)
  unpacked=$(mktemp -d "$target.XXXXXX")
  # As root, apt downloads as the user _apt, who must be able to write here.
  if ((EUID == 0)) && id _apt >/dev/null 2>&1; then
    chown _apt "$work"
  fi
  if (cd "$work" && apt-get -qq download "${COLLECTD_PACKAGES[@]}"); then
    for package in "$work"/*.deb; do
      dpkg-deb -x "$package" "$unpacked"
    done
  fi
  if has_collectd "$unpacked"; then
    chmod 755 "$unpacked"
    has_collectd "$target" || rm -rf "$target"
    mv -T "$unpacked" "$target" 2>/dev/null
  fi
  rm -rf "$work" "$unpacked"
  has_collectd "$target"
}

fail_to_provision() {
  printf '%s\n' "$@" >&2
  exit 2
}

provision() {
  local assume_yes=${CI:-} package answer fetch_collectd=
  local -a wanted missing=() lacking=() dependencies=()
  if [[ ${1:-} == --yes ]]; then
    assume_yes=true
    shift
  fi
  wanted=("$@")

  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    fail_to_provision "This system has no apt. Please install what these Debian packages hold:" \
      "$(print_list "${wanted[@]}" "${COLLECTD_PACKAGES[@]}")" \
      "(a C++20 compiler as of g++ 11 or clang 14, CMake 3.18, collectd 5.12 with its headers)," \
      "then build with: cmake -S . -B build && cmake --build build"
  fi

  has_collectd "$COLLECTD_ROOT" || fetch_collectd=true
  for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)) && [[ -z $fetch_collectd ]]; then
    echo "Packages: everything needed is there."
    return
  fi

  for package in "${missing[@]}" ${fetch_collectd:+"${COLLECTD_PACKAGES[@]}"}; do
    has_candidate "$package" || lacking+=("$package")
  done
  if ((${#missing[@]} + ${#lacking[@]} > 0 || EUID == 0)); then
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
      fail_to_provision "Neither root nor sudo to install these packages:" \
        "$(print_list "${missing[@]:-${lacking[@]}}")"
    fi
    echo "Packages: refreshing apt's lists"
    apt_get_as_root update || echo "apt-get update failed; going on with the lists there are." >&2
  fi
  lacking=()
  for package in "${missing[@]}" ${fetch_collectd:+"${COLLECTD_PACKAGES[@]}"}; do
    has_candidate "$package" || lacking+=("$package")
  done
  if ((${#lacking[@]} > 0)); then
    fail_to_provision "This distribution has no package ${lacking[*]}."
  fi

  if ((${#missing[@]} > 0)); then
    echo "To be installed:"
    print_list "${missing[@]}"
    mapfile -t dependencies < <(packages_with_dependencies "${missing[@]}" |
      grep -vxF -f <(printf '%s\n' "${missing[@]}"))
    if ((${#dependencies[@]} > 0)); then
      echo "and with them, because they need these:"
      print_list "${dependencies[@]}"
    fi
  fi
  if [[ -n $fetch_collectd ]]; then
    echo "To be unpacked below build/, not installed:"
    print_list "${COLLECTD_PACKAGES[@]}"
  fi
  if [[ $assume_yes != true && -t 0 && -t 1 ]]; then
    read -r -p "Go on? [Y/n] " answer || answer=n
    case $answer in
      '' | [yY]*) ;;
      *) fail_to_provision "Nothing was installed." ;;
    esac
  fi

  if ((${#missing[@]} > 0)); then
    apt_get_as_root install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
      fail_to_provision "apt-get could not install ${missing[*]}."
  fi
  if [[ -n $fetch_collectd ]]; then
    unpack_collectd "$COLLECTD_ROOT" ||
      fail_to_provision "apt-get could not download ${COLLECTD_PACKAGES[*]}; after 'apt-get update' it may."
  fi
}

configure_project() {
  local build_dir=$1
  local -a generator=()
  shift
  [[ -e $build_dir/CMakeCache.txt ]] || generator=(-G Ninja)
  cmake -S "$SOURCE_DIR" -B "$build_dir" "${generator[@]}" -DCOLLECTD_ROOT="$COLLECTD_ROOT" "$@"
}
