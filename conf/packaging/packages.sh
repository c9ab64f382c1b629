# shellcheck shell=bash
# Installs what a command needs, on systems with apt, and configures the project. Sourced by
# conf/demo, tests/run and .ci/run:
#
#   SOURCE_DIR=... ; source conf/packaging/packages.sh
#   provision [--yes] PACKAGE...
#   provide_snmp_tools
#   provide_stores
#   provide_servers
#   provide_nms
#   provide_zabbix
#   provide_peers
#   configure_project BUILD_DIR [ARGUMENTS OF CMAKE]
#
# COLLECTD_ROOT is the root below which collectd is: empty for the system's own, else the
# folder that it is unpacked to. It is never installed, since its package enables a service.
# SNMP_ROOT, STORES_ROOT and SERVERS_ROOT are the same for what tests/snmp, tests/stores and
# tests/incidents talk to; NMS_ROOT and ZABBIX_ROOT for tests/nms, PEERS_ROOT for tests/bench, which lay them over the
# system.

# The commands hand these to provision.
# shellcheck disable=SC2034
{
  BUILD_PACKAGES=(g++ cmake ninja-build pkg-config libmnl-dev)
  RUN_PACKAGES=(python3 iproute2 libcap2) # collectd needs libcap2
  PICTURE_PACKAGES=(rrdtool)
  # libsnmp-dev for the subagent
  TEST_PACKAGES=(check strace libsnmp-dev mandoc man-db python3-yaml python3-jsonschema "${PICTURE_PACKAGES[@]}")
  DEB_PACKAGES=(dpkg-dev file libsnmp-dev)               # what building packages needs
  DEB_TEST_PACKAGES=(debootstrap lintian util-linux rpm) # and what testing them does
}
COLLECTD_PACKAGES=(collectd-core collectd-dev)
# What the SNMP tests talk to. Unpacked like collectd, since snmpd's package enables a service.
SNMP_PACKAGES=(snmpd snmp snmptrapd smitools libsmi2ldbl prometheus-snmp-exporter
  python3-pysnmp4 python3-pyasn1 python3-pycryptodome python3-pysmi python3-ply)
# The stores, and the libraries that collectd's plugins for them load.
STORE_PACKAGES=(graphite-carbon graphite-web python3-gunicorn fonts-dejavu-core influxdb prometheus rrdtool kafkacat
  libmicrohttpd12 libprotobuf-c1 librdkafka1 librrd8 libyajl2)
STORES_ROOT=$SOURCE_DIR/build/stores
# The servers of the incidents.
SERVER_PACKAGES=(nginx redis-server php-fpm gunicorn haproxy memcached apache2-bin postgresql docker.io podman runc busybox-static)
command -v node >/dev/null || SERVER_PACKAGES+=(nodejs)
SERVERS_ROOT=$SOURCE_DIR/build/servers
# What the files of conf/nms are tried with. Of Zabbix the rules of its import alone: the whole of it is
# for tests/nms/run.
NMS_PACKAGES=(icinga2-bin nagios-nrpe-server nagios-nrpe-plugin php8.2-cli php8.2-mbstring php8.2-xml snmptt
  snmpsim prometheus-node-exporter victoria-metrics libcurl3-gnutls libyajl2) # the last two for write_http
NMS_PACKAGES_ALONE=(zabbix-frontend-php)
NMS_ROOT=$SOURCE_DIR/build/nms
ZABBIX_PACKAGES=(zabbix-server-pgsql zabbix-frontend-php postgresql php8.2-cli php8.2-pgsql php8.2-cgi)
ZABBIX_ROOT=$SOURCE_DIR/build/zabbix
# What the benchmark runs beside the plugin.
PEER_PACKAGES=(pcp netdata-core)
PEERS_ROOT=$SOURCE_DIR/build/peers

has_collectd() {
  [[ -x $1/usr/sbin/collectd && -e $1/usr/include/collectd/core/daemon/plugin.h ]]
}

if has_collectd ""; then
  COLLECTD_ROOT=
else
  COLLECTD_ROOT=$SOURCE_DIR/build/collectd
fi

has_snmp() {
  [[ -x $1/usr/sbin/snmpd && -x $1/usr/sbin/snmptrapd && -x $1/usr/bin/snmpbulkwalk ]]
}

if has_snmp ""; then
  SNMP_ROOT=
else
  SNMP_ROOT=$SOURCE_DIR/build/snmp-tools
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

# unpack TARGET COMPLETE PACKAGE...: COMPLETE is a command that tells whether a root is as it should be.
# Unpacks beside the target and renames, so that two runs at once do no harm to each other.
unpack() {
  local target=$1 complete=$2 work unpacked package
  shift 2
  mkdir -p "$(dirname "$target")"
  work=$(mktemp -d)
  unpacked=$(mktemp -d "$target.XXXXXX")
  # As root, apt downloads as the user _apt, who must be able to write here.
  if ((EUID == 0)) && id _apt >/dev/null 2>&1; then
    chown _apt "$work"
  fi
  if (cd "$work" && apt-get -qq download "$@"); then
    for package in "$work"/*.deb; do
      dpkg-deb -x "$package" "$unpacked"
    done
  fi
  if "$complete" "$unpacked"; then
    chmod 755 "$unpacked"
    "$complete" "$target" || rm -rf "$target"
    mv -T "$unpacked" "$target" 2>/dev/null
  fi
  rm -rf "$work" "$unpacked"
  "$complete" "$target"
}

unpack_collectd() {
  unpack "$1" has_collectd "${COLLECTD_PACKAGES[@]}"
}

# What a system without any package would need for those named, one per line, in order.
whole_closure() {
  LC_ALL=C apt-get install -s --no-install-recommends -o Dir::State::status=/dev/null "$@" 2>/dev/null |
    awk '$1 == "Inst" {print $2}' | sort
}

has_stores() {
  local program
  for program in carbon-cache influxd prometheus promtool rrdtool; do
    [[ -x $1/usr/bin/$program ]] || return
  done
  [[ -x $1/usr/bin/kcat || -x $1/usr/bin/kafkacat ]] || return
  [[ -d $1/usr/lib/python3/dist-packages/gunicorn && -e $1/usr/lib/python3/dist-packages/graphite ]]
}

# Downloads the stores and all that they need, but what is on every system that runs the tests
# (RUN_PACKAGES) and what only scripts of packages call (adduser, perl).
unpack_stores() {
  local -a packages
  mapfile -t packages < <(comm -23 <(whole_closure "${STORE_PACKAGES[@]}") \
    <(whole_closure "${RUN_PACKAGES[@]}" adduser perl))
  ((${#packages[@]} > 0)) && unpack "$1" has_stores "${packages[@]}"
}

# The tests of the stores are skipped, with a reason, where this fails.
provide_stores() {
  local library
  if ! has_stores "$STORES_ROOT"; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
    echo "To be unpacked below build/, not installed, with what they need, some 100 MB to download:"
    print_list "${STORE_PACKAGES[@]}"
    unpack_stores "$STORES_ROOT" || {
      apt_get_as_root update && unpack_stores "$STORES_ROOT"
    } || echo "apt-get could not download the stores; their tests will be skipped." >&2
  fi
  # xcffib asks for the name that only a -dev package has, where ldconfig does not know the library.
  for library in "$STORES_ROOT"/usr/lib/*/libxcb.so.1; do
    [[ ! -e $library || -e ${library%.1} ]] || ln -sf libxcb.so.1 "${library%.1}"
  done
}

has_servers() {
  local program
  for program in usr/sbin/{nginx,haproxy,apache2,dockerd} usr/bin/{redis-server,gunicorn,memcached,podman} bin/busybox; do
    [[ -x $1/$program ]] || return
  done
  compgen -G "$1/usr/sbin/php-fpm*" >/dev/null && compgen -G "$1/usr/lib/postgresql/*/bin/postgres" >/dev/null
}

unpack_servers() {
  local -a packages
  mapfile -t packages < <(comm -23 <(whole_closure "${SERVER_PACKAGES[@]}") \
    <(whole_closure "${RUN_PACKAGES[@]}" adduser perl))
  ((${#packages[@]} > 0)) && unpack "$1" has_servers "${packages[@]}"
}

provide_servers() {
  ! has_servers "$SERVERS_ROOT" || return 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
  echo "To be unpacked below build/, not installed, with what they need, some 160 MB to download:"
  print_list "${SERVER_PACKAGES[@]}"
  unpack_servers "$SERVERS_ROOT" || {
    apt_get_as_root update && unpack_servers "$SERVERS_ROOT"
  } || echo "apt-get could not download the servers; the incidents without them will be skipped." >&2
}

has_nms() {
  local program
  for program in usr/lib/nagios/plugins/check_nrpe usr/sbin/{icinga2,nrpe,snmptt} usr/bin/{php8.2,prometheus-node-exporter,snmpsimd,victoria-metrics}; do
    [[ -x $1/$program ]] || return
  done
  [[ -e $1/usr/share/zabbix/include/defines.inc.php ]]
}

has_zabbix() {
  [[ -x $1/usr/sbin/zabbix_server && -x $1/usr/bin/php8.2 && -e $1/usr/share/zabbix/index.php ]] &&
    compgen -G "$1/usr/lib/postgresql/*/bin/initdb" >/dev/null
}

has_peers() {
  [[ -x $1/usr/sbin/netdata && -x $1/usr/lib/pcp/bin/pmcd ]]
}

# unpack_closure TARGET COMPLETE PACKAGE...: with all that they need, as unpack_stores().
unpack_closure() {
  local target=$1 complete=$2
  local -a packages
  shift 2
  mapfile -t packages < <(comm -23 <(whole_closure "$@") <(whole_closure "${RUN_PACKAGES[@]}" adduser perl))
  ((${#packages[@]} > 0)) && unpack "$target" "$complete" "${packages[@]}" "${further[@]}"
}

# provide_root TARGET COMPLETE MEGABYTES WHAT PACKAGE...: likewise, if it is not there yet.
provide_root() {
  local target=$1 complete=$2 megabytes=$3 what=$4
  shift 4
  ! "$complete" "$target" || return 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
  echo "To be unpacked below build/, not installed, with what they need, some $megabytes MB to download:"
  print_list "$@" "${further[@]}"
  unpack_closure "$target" "$complete" "$@" || {
    apt_get_as_root update && unpack_closure "$target" "$complete" "$@"
  } || echo "apt-get could not download $what; its tests will be skipped." >&2
}

provide_nms() {
  local -a further=("${NMS_PACKAGES_ALONE[@]}")
  provide_root "$NMS_ROOT" has_nms 60 "the monitoring systems" "${NMS_PACKAGES[@]}"
}

provide_zabbix() {
  local -a further=()
  provide_root "$ZABBIX_ROOT" has_zabbix 95 Zabbix "${ZABBIX_PACKAGES[@]}"
}

provide_peers() {
  local -a further=()
  provide_root "$PEERS_ROOT" has_peers 60 "PCP and netdata" "${PEER_PACKAGES[@]}"
}

# Without them the SNMP tests are skipped, with a reason.
provide_snmp_tools() {
  local package
  local -a packages=()
  has_snmp "$SNMP_ROOT" && return
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
  for package in "${SNMP_PACKAGES[@]}"; do
    ! has_candidate "$package" || packages+=("$package")
  done
  echo "To be unpacked below build/, not installed:"
  print_list "${packages[@]}"
  unpack "$SNMP_ROOT" has_snmp "${packages[@]}" ||
    echo "apt-get could not download the SNMP tools; their tests will be skipped." >&2
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
      "(g++ 11, or clang 14 with the C++ library of g++ 11, CMake 3.18, collectd 5.12 with its headers)," \
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
  cmake -S "$SOURCE_DIR" -B "$build_dir" "${generator[@]}" \
    -DCOLLECTD_ROOT="$COLLECTD_ROOT" -DSNMP_ROOT="$SNMP_ROOT" -DSTORES_ROOT="$STORES_ROOT" \
    -DSERVERS_ROOT="$SERVERS_ROOT" -DNMS_ROOT="$NMS_ROOT" -DZABBIX_ROOT="$ZABBIX_ROOT" "$@"
}
