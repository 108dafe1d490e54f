#!/bin/sh
# sh tasks/setup.sh TASK [ARGUMENT…]: everything a fresh machine lacks, then `deno task TASK ARGUMENT…`.
#
# Installs Deno where there is none and, on Linux, a software Vulkan driver where there is no Vulkan driver at all; for
# the tests, on Debian, Chromium where there is no browser of its kind, Jupyter and MPI, and nginx and promtool into .cache/tools/.
# What is there already is left as it is; where nothing is missing, this prints nothing and costs a few milliseconds.
set -eu

program="sh tasks/setup.sh"
root=${DENOISE_SETUP_ROOT:-} # prefix of the system's files; the tests set it
home=${HOME:-/root}
deno_home=${DENO_INSTALL:-$home/.deno} # the official installer's folder
oldest_deno="2.9"                      # WebGPU without a flag, and tested here
wait_for_apt="DPkg::Lock::Timeout=600"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
  cat <<END
usage: $program TASK [ARGUMENT...]

Installs what is missing (Deno; on Linux a Vulkan driver; for the tests, on Debian, Chromium, Jupyter, MPI, and in
.cache/tools/ nginx and promtool), then runs "deno task TASK ARGUMENT...".

  $program train             train on CIFAR-10
  $program train --help      its options
  $program sample --help     draw images from a trained model
  $program test              run the tests
END
}

# --- running commands ------------------------------------------------------------------------------------------------

log=
remove_log() { [ -z "$log" ] || rm -f "$log"; }
trap remove_log EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command silently; its output stays in $log for show_log.
quietly() {
  [ -n "$log" ] || log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null
}

show_log() { tail -n 15 "$log" | sed 's/^/    /' >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o "$wait_for_apt" "$@"; }

# Ends with what to do by hand where packages cannot be installed from here.
# $1: the packages, $2: what they are for
require_apt() {
  if ! have apt-get; then
    fail "$2 is missing and there is no apt-get here: install it yourself (on Debian and Ubuntu: $1), then run this again."
  fi
  if [ "$(id -u)" != 0 ] && ! have sudo; then
    fail "$2 is missing, and installing it needs root or sudo: have \"apt-get install $1\" run as root, then run this again."
  fi
}

# Refreshes the package lists, once. A repository that cannot be reached does not matter as long as the packages can be
# installed, so only a lock held by somebody else is worth waiting for.
lists_are_fresh=
update_lists() {
  [ -z "$lists_are_fresh" ] || return 0
  tries=0
  while ! quietly apt update; do
    grep -q 'Could not get lock' "$log" || break
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || break
    [ "$tries" -gt 1 ] || say "waiting for another apt-get to finish"
    sleep 5
  done
  lists_are_fresh=yes
}

# $@: what to install
install_packages() { quietly apt install --no-install-recommends "$@"; }

# --- Deno ------------------------------------------------------------------------------------------------------------

# $1: a folder; makes its deno the one that is used from here on, if it works
use_deno_in() {
  [ -x "$1/deno" ] && "$1/deno" --version >/dev/null 2>&1 || return 1
  case ":$PATH:" in
  *":$1:"*) ;;
  *)
    PATH="$1:$PATH"
    export PATH
    ;;
  esac
}

# Finds deno on the PATH or where earlier runs of this script have put it.
find_deno() {
  have deno || use_deno_in "$deno_home/bin" || use_deno_in "$home/.local/bin"
}

install_deno_with_npm() {
  have npm || return 1
  prefix=$(npm prefix -g 2>/dev/null) || return 1
  if [ "$(id -u)" != 0 ] && { [ ! -w "$prefix/bin" ] || { [ -e "$prefix/lib" ] && [ ! -w "$prefix/lib" ]; }; }; then
    prefix="$home/.local" # the machine's own npm folder belongs to root
  fi
  say "installing Deno with npm into $prefix"
  if quietly npm install --global --prefix "$prefix" deno && use_deno_in "$prefix/bin"; then return 0; fi
  say "npm could not install Deno:"
  show_log
  return 1
}

install_deno_with_installer() {
  missing=
  have curl || missing="curl ca-certificates"
  have unzip || have 7z || missing="$missing unzip"
  if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of words
    set -- $missing
    require_apt "$*" "what Deno's installer needs ($*)"
    say "installing what Deno's installer needs: $*"
    update_lists
    if ! install_packages "$@"; then
      show_log
      fail "could not install $*: install them yourself, then run this again."
    fi
  fi
  say "installing Deno with the official installer into $deno_home"
  script=$(curl -fsSL https://deno.land/install.sh) || return 1
  if DENO_INSTALL="$deno_home" quietly sh -c "$script" install.sh -y --no-modify-path && use_deno_in "$deno_home/bin"; then
    return 0
  fi
  show_log
  return 1
}

setup_deno() {
  if find_deno; then
    version=$(deno --version | sed -n '1s/^deno \([0-9.]*\).*/\1/p')
    if [ "$(printf '%s\n' "$oldest_deno" "$version" | sort -t . -k 1,1n -k 2,2n | head -n 1)" != "$oldest_deno" ]; then
      fail "Deno $version is too old, $oldest_deno or newer is needed: run \"deno upgrade\", then run this again."
    fi
    return 0
  fi
  path_before=$PATH
  if install_deno_with_npm || install_deno_with_installer; then
    say "installed $(deno --version | head -n 1) in $(dirname "$(command -v deno)")"
    [ "$PATH" = "$path_before" ] || say "add that folder to your PATH to call deno yourself"
  else
    fail "Deno could not be installed: install it yourself (https://docs.deno.com/runtime/), then run this again."
  fi
}

# --- Vulkan ----------------------------------------------------------------------------------------------------------

# True if a Vulkan driver's manifest is where the Vulkan loader looks for it.
have_vulkan_driver() {
  named=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
  if [ -n "$named" ]; then # these replace the search
    IFS=:
    for file in $named; do
      if [ -f "$file" ] || { [ -d "$file" ] && has_manifest "$file"; }; then
        unset IFS
        return 0
      fi
    done
    unset IFS
    fail "VK_DRIVER_FILES or VK_ICD_FILENAMES names no file that exists ($named): correct it or unset it."
  fi
  for folder in "$root/usr/share" "$root/usr/local/share" "$root/etc" "$root/etc/xdg" "$root/run/opengl-driver/share" \
    "${XDG_DATA_HOME:-$home/.local/share}" "${XDG_CONFIG_HOME:-$home/.config}"; do
    if has_manifest "$folder/vulkan/icd.d"; then return 0; fi
  done
  return 1
}

has_manifest() {
  for manifest in "$1"/*.json; do
    if [ -f "$manifest" ]; then return 0; fi
  done
  return 1
}

have_vulkan_loader() {
  for loader in "$root"/usr/lib/*/libvulkan.so.1 "$root"/usr/lib/libvulkan.so.1 "$root"/usr/lib64/libvulkan.so.1 \
    "$root"/usr/local/lib/libvulkan.so.1 "$root"/usr/local/lib/*/libvulkan.so.1; do
    if [ -e "$loader" ]; then return 0; fi
  done
  # elsewhere still, if the dynamic linker knows it
  [ -z "$root" ] && PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1 '
}

# $1: a field of os-release
os_release() { sed -n "s/^$1=\"\\{0,1\\}\\([^\"]*\\)\"\\{0,1\\}\$/\\1/p" "$root/etc/os-release" 2>/dev/null; }

backports_are_known() { apt-cache policy 2>/dev/null | grep -q 'n=bookworm-backports'; }

# Makes Debian 12's backports known to apt; false where they cannot be reached, and then nothing is left behind.
add_backports() {
  update_lists
  if backports_are_known; then return 0; fi
  if grep -rqs '^[^#]*bookworm-backports' "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"; then
    return 1 # configured, yet not reachable
  fi
  # the mirror that this machine uses already; the Debian-wide address where apt does not say
  # shellcheck disable=SC2016 # apt-get fills in the name
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Codename: bookworm' 'Origin: Debian' 2>/dev/null |
    head -n 1)
  sources="$root/etc/apt/sources.list.d/bookworm-backports.sources"
  say "adding Debian 12's backports to apt ($sources)"
  printf '%s\n' "Types: deb" "URIs: ${mirror:-http://deb.debian.org/debian}" "Suites: bookworm-backports" \
    "Components: main" "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" |
    as_root tee "$sources" >/dev/null || return 1
  quietly apt update || true
  if backports_are_known; then return 0; fi
  as_root rm -f "$sources"
  return 1
}

setup_vulkan() {
  packages=
  if ! have_vulkan_driver; then packages=mesa-vulkan-drivers; fi
  if ! have_vulkan_loader; then packages="$packages libvulkan1"; fi
  if [ -z "$packages" ]; then return 0; fi
  # shellcheck disable=SC2086 # a list of words
  set -- $packages
  what="Vulkan driver"
  [ "$1" = mesa-vulkan-drivers ] || what="Vulkan loader"
  require_apt "$*" "a $what ($*)"

  if [ "$(os_release ID)" = debian ] && [ "$(os_release VERSION_ID)" = 12 ] && [ "$1" = mesa-vulkan-drivers ]; then
    # Mesa 25 runs the kernels two to three times faster than the release's 22.3
    if add_backports; then
      say "no Vulkan driver here: installing Mesa's software driver from Debian 12's backports ($*)"
      if install_packages -t bookworm-backports "$@"; then return 0; fi
      show_log
    fi
    say "Debian 12's backports cannot be used: taking the release's older Mesa, which is two to three times slower"
  fi
  say "no $what here: installing $*"
  update_lists
  if ! install_packages "$@"; then
    show_log
    fail "could not install $*: install them yourself (apt-get install $*), then run this again."
  fi
}

# --- Chromium --------------------------------------------------------------------------------------------------------

# The browser for the test of the server's page, which is left out where there is none: nothing here ends the script.
setup_chromium() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if have "$name"; then return 0; fi
  done
  # Ubuntu's package of that name installs a snap, which not every machine can run
  if [ "$(os_release ID)" != debian ] || ! have apt-get; then return 0; fi
  if [ "$(id -u)" != 0 ] && ! have sudo; then return 0; fi
  say "no Chromium here: installing it to test the server's page"
  update_lists
  if ! install_packages chromium; then
    show_log
    say "could not install Chromium: going on without the test of the page"
  fi
}

# --- Jupyter and MPI -------------------------------------------------------------------------------------------------

# For the test that runs the notebook, and those of several ranks, which are left out where they are missing: nothing here
# ends the script.
setup_jupyter() { for_tests jupyter-nbconvert Jupyter "the notebook" jupyter-nbconvert jupyter-client python3-nbclient; }
setup_mpi() {
  for_tests mpirun.openmpi "Open MPI" "training on several ranks" openmpi-bin
  for_tests mpirun.mpich MPICH "training on several ranks" mpich
}

# $1: a program, $2: its name in words, $3: what it tests, $@: Debian's packages
for_tests() {
  program=$1 words=$2 tested=$3
  shift 3
  if have "$program" || [ "$(os_release ID)" != debian ] || ! have apt-get; then return 0; fi
  if [ "$(id -u)" != 0 ] && ! have sudo; then return 0; fi
  say "no $words here: installing it to test $tested"
  update_lists
  if ! install_packages "$@"; then
    show_log
    say "could not install $words: going on without the test of $tested"
  fi
}

# --- nginx and promtool ----------------------------------------------------------------------------------------------

tools=${root:+$root/}.cache/tools

# The programs for the tests of deploy/, which are left out where they are missing: nothing here ends the script.
# Debian's packages of both start a server, at once and with the machine. The tests need the programs alone, so these are
# taken out of the packages, and nothing is installed.
setup_tools() {
  if [ "$(os_release ID)" != debian ] || ! have apt-get || ! have dpkg-deb; then return 0; fi
  unpack_tool nginx usr/sbin/nginx
  unpack_tool prometheus usr/bin/promtool
  if have openssl || { [ "$(id -u)" != 0 ] && ! have sudo; }; then return 0; fi
  say "no openssl here: installing it for certificates of the tests of deploy/"
  update_lists
  install_packages openssl || show_log
}

# $1: a package, $2: the file of a program in it
unpack_tool() {
  program=$(basename "$2")
  if have "$program" || [ -x "$root/$2" ] || [ -x "$tools/$2" ]; then return 0; fi
  say "no $program here: unpacking it into $tools/ to test deploy/ (Debian's package $1 is not installed)"
  if [ "$(id -u)" = 0 ] || have sudo; then update_lists; fi
  quietly true # makes the log
  folder=$(mktemp -d)
  mkdir -p "$tools"
  if ! (cd "$folder" && quietly apt-get -q download "$1") ||
    ! dpkg-deb --fsys-tarfile "$folder"/*.deb 2>"$log" | tar -x -C "$tools" "./$2"; then
    show_log
    say "could not unpack $program: going on without the tests that need it"
  fi
  rm -rf "$folder"
}

# --- main ------------------------------------------------------------------------------------------------------------

case ${1:-} in
"")
  usage >&2
  exit 2
  ;;
-h | --help)
  usage
  exit 0
  ;;
esac

cd "$(dirname "$0")/.."
if [ "$(uname -s)" = Linux ]; then setup_vulkan; fi
if [ "$(uname -s)" = Linux ] && [ "$1" = test ]; then
  setup_chromium
  setup_jupyter
  setup_mpi
  setup_tools
fi
setup_deno
remove_log
exec deno task "$@"
