#!/bin/sh
# sh start.sh [--into DIR] [TASK [ARGUMENT…]]: unpacks the bundle that this script lies in, checks what it is to run on, and
# runs `deno task TASK ARGUMENT…` without a network, or as `visit` what is worth knowing of a machine.
#
# Needs sh, tar and sha256sum, and xz or python3 for a bundle packed with xz. Changes nothing outside DIR.
set -eu

program="sh start.sh"
format="denoise-bundle 1"
bundle=$(cd "$(dirname "$0")" && pwd)
root=${DENOISE_START_ROOT:-} # prefix of the system's files; the tests set it
into=denoise
with_data=yes

say() { printf 'start: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
  cat <<END
usage: $program [--into DIR] [--without-data] [TASK [ARGUMENT...]]

Unpacks the bundle into DIR (default: ./$into), unless it is there already, prints the adapter and runs
"deno task TASK ARGUMENT..." in DIR/project. Without a TASK it stops before that.

  --into DIR       where to unpack; a folder that does not exist yet, or holds this bundle
  --without-data   leave the data set packed; its files need not be here

  $program train --preset small
  $program test
  $program bench
  $program visit --out results   measures and tests, within ten minutes: "visit --help"
END
}

# --- reading the manifest --------------------------------------------------------------------------------------------

# $1: a key; its value
fact() { sed -n "s/^$1 //p" "$bundle/manifest.txt"; }

# The pieces that are wanted, as "PART FILE BYTES SHA256".
pieces() {
  if [ "$with_data" = yes ]; then fact piece; else fact piece | grep -v '^data '; fi
}

# What the unpacked folder keeps, to tell whether it is this bundle and whole.
stamp() {
  if [ "$with_data" = yes ]; then cat "$bundle/manifest.txt"; else grep -v '^piece data ' "$bundle/manifest.txt"; fi
}

# --- unpacking -------------------------------------------------------------------------------------------------------

partial=
remove_partial() { [ -z "$partial" ] || rm -rf "$partial"; }
trap remove_partial EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

check_machine() {
  machine=$(fact machine)
  if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != "$machine" ]; then
    fail "this bundle is for Linux on $machine, and this is $(uname -s) on $(uname -m): make one on a machine of this kind."
  fi
}

check_pieces() {
  missing=$(pieces | while read -r _ file _; do [ -f "$bundle/$file" ] || printf ' %s' "$file"; done)
  [ -z "$missing" ] || fail "missing in $bundle:$missing: copy them here too (--without-data needs no data.tar…)."
  have sha256sum || fail "sha256sum is not installed here, and without it the files cannot be checked."
  damaged=$(pieces | while read -r _ file _ digest; do
    [ "$(sha256sum <"$bundle/$file" | cut -d ' ' -f 1)" = "$digest" ] || printf ' %s' "$file"
  done)
  [ -z "$damaged" ] || fail "damaged in $bundle (SHA-256 is not the manifest's):$damaged: copy them again."
}

# $1: a file name of a part; how its kind is unpacked from standard input to standard output
decompress() {
  case $1 in
  *.xz*)
    if have xz; then
      xz -d -c
    else
      python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)'
    fi
    ;;
  *.gz*) gzip -d -c ;;
  *) cat ;;
  esac
}

check_programs() {
  have tar || fail "tar is not installed here."
  case $(pieces) in
  *.tar.xz*) have xz || have python3 || fail "neither xz nor python3 is installed here: make the bundle with --compress gzip." ;;
  *.tar.gz*) have gzip || fail "gzip is not installed here: make the bundle with --compress none." ;;
  esac
}

# $1: a part
unpack() {
  say "unpacking $1"
  files=$(pieces | sed -n "s/^$1 \\([^ ]*\\) .*/\\1/p")
  # a pipeline has the exit status of its last command alone, so the others leave a sign that they got to their end
  {
    for file in $files; do cat "$bundle/$file" || exit 1; done
    : >"$partial/.read"
  } | {
    decompress "${files%%[!a-z0-9.]*}" && : >"$partial/.decompressed"
  } | tar -x -o -f - -C "$partial" || fail "unpacking $1 failed: see above; is there room on the disk?"
  rm "$partial/.read" "$partial/.decompressed" || fail "unpacking $1 failed: see above."
}

unpack_all() {
  check_programs
  check_pieces
  mkdir -p "$(dirname "$into")"
  partial=$(mktemp -d "$into.partial-XXXXXX")
  for part in $(pieces | cut -d ' ' -f 1 | uniq); do unpack "$part"; done
  stamp >"$partial/manifest.txt"
  chmod 755 "$partial"
  [ ! -e "$into" ] || rmdir "$into" || fail "$into has come into being meanwhile: run this again."
  mv "$partial" "$into"
  partial=
  say "unpacked into $into"
}

setup_folder() {
  if [ ! -e "$into" ] || { [ -d "$into" ] && [ -z "$(ls -A "$into")" ]; }; then
    unpack_all
  elif [ ! -f "$into/manifest.txt" ] || [ "$(cat "$into/manifest.txt")" != "$(stamp)" ]; then
    fail "$into exists, and is not this bundle unpacked: choose another folder (--into DIR), or move it away."
  fi
  into=$(cd "$into" && pwd)
}

# --- Vulkan ----------------------------------------------------------------------------------------------------------

# The folders of the libraries that the dynamic linker knows or that drivers are put in, best first.
library_folders() {
  printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr : '\n'
  [ -n "$root" ] || PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | sed -n 's|^.* => \(.*\)/[^/]*$|\1|p' | uniq
  for folder in /usr/lib/"$(uname -m)"-linux-gnu /usr/lib64 /usr/lib /usr/local/lib /usr/local/nvidia/lib64 /usr/local/nvidia/lib \
    /usr/lib/nvidia /opt/nvidia/lib64 /opt/nvidia/lib; do
    printf '%s\n' "$root$folder"
  done
}

# $1: a library's name; the first folder that has it
folder_of() {
  library_folders | while read -r folder; do
    if [ -n "$folder" ] && [ -e "$folder/$1" ]; then
      printf '%s\n' "$folder"
      break
    fi
  done
}

# Manifests of NVIDIA's driver, where the Vulkan loader looks for them and beside the driver's libraries.
nvidia_manifests() {
  for folder in "$root/etc" "$root/usr/share" "$root/usr/local/share" "${1:-/nowhere}/../share" "${1:-/nowhere}/.."; do
    for manifest in "$folder"/vulkan/icd.d/*nvidia*.json; do
      if [ -f "$manifest" ]; then printf '%s\n' "$manifest"; fi
    done
  done
}

quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# Writes DIR/env.sh, which has all that a shell must know to use what was unpacked.
# $1: the driver's manifest, or nothing for the loader's own search
write_env() {
  # shellcheck disable=SC2016 # the shell that reads it expands the variables
  {
    printf '# made by start.sh; to use it in a shell of your own: . %s\n' "$(quote "$into/env.sh")"
    printf 'export PATH=%s:"${PATH:-/usr/local/bin:/usr/bin:/bin}"\n' "$(quote "$into/bin")"
    printf 'export DENO_DIR=%s DENO_NO_UPDATE_CHECK=1 DENO_WEBGPU_BACKEND=vulkan\n' "$(quote "$into/cache")"
    printf 'unset NPM_CONFIG_REGISTRY npm_config_registry\n' # the cache is that of the default registry
    if [ -n "$libraries" ]; then
      printf 'export LD_LIBRARY_PATH=%s"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n' "$(quote "$libraries")"
    fi
    # the second name is for older loaders
    if [ -n "$1" ]; then printf 'export VK_DRIVER_FILES=%s VK_ICD_FILENAMES=%s\n' "$(quote "$1")" "$(quote "$1")"; fi
  } >"$into/env.sh.$$"
  mv "$into/env.sh.$$" "$into/env.sh"
}

# Sets up a driver and asks for the adapter; the answer's line is then in $adapter, or the reason why there is none.
# $1: as for write_env
adapter=
try_adapter() {
  write_env "$1"
  # shellcheck disable=SC1091 # it has just been written
  answer=$(. "$into/env.sh" && cd "$into/project" && deno run -A bundle/adapter.ts 2>&1 </dev/null) || true
  # by the line and not by the exit status: software drivers may abort the process while it ends
  adapter=$(printf '%s\n' "$answer" | grep '^adapter: ') || adapter=$answer
}

# $1: a library of the driver; a manifest that names it
own_manifest() {
  file="$into/$1.json"
  printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$1" >"$file"
  printf '%s\n' "$file"
}

# What could make Vulkan find a driver, best first. An empty line stands for the loader's own search.
drivers() {
  chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
  printf '%s\n' "$chosen"
  [ -z "$chosen" ] || return 0
  nvidia_manifests "$nvidia"
  # Containers often have the driver without its manifest, and without the X libraries that the first of these needs.
  for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    [ -z "$(folder_of "$library")" ] || own_manifest "$library"
  done
}

# Chooses the first driver that gives a GPU, else the first that gives anything.
setup_vulkan() {
  libraries=
  case $(folder_of libvulkan.so.1) in "" | "$into/lib") libraries="$into/lib" ;; esac
  nvidia=$(folder_of libGLX_nvidia.so.0)
  [ -n "$nvidia" ] || nvidia=$(folder_of libEGL_nvidia.so.0)
  # where the linker does not look, the driver's libraries do not find each other
  case $nvidia in */nvidia | */nvidia/*) libraries="${libraries:+$libraries:}$nvidia" ;; esac

  drivers >"$into/drivers.txt"
  software=""
  software_driver=""
  reasons=""
  while IFS= read -r driver; do
    try_adapter "$driver"
    case $adapter in
    "adapter: "*"(GPU; "*) break ;;
    "adapter: "*) [ -n "$software" ] || software=$adapter software_driver=$driver ;;
    *) reasons="$reasons  ${driver:-search of the loader}: $adapter
" ;;
    esac
    adapter=
  done <"$into/drivers.txt"
  if [ -z "$adapter" ]; then
    if [ -z "$software" ]; then
      say "no adapter here; tried:
${reasons}Set VK_DRIVER_FILES to the manifest of your driver, and run this again."
      [ "$task" = visit ] || exit 1 # which tells what there is instead
    fi
    adapter=$software
    write_env "$software_driver"
  fi
  [ -z "$adapter" ] || say "$adapter"
}

# --- main ------------------------------------------------------------------------------------------------------------

while [ $# -gt 0 ]; do
  case $1 in
  -h | --help)
    usage
    exit 0
    ;;
  --into)
    [ -n "${2:-}" ] || fail "--into needs a folder: see $program --help."
    into=${2%/}
    shift 2
    ;;
  --without-data)
    with_data=
    shift
    ;;
  --)
    shift
    break
    ;;
  -*)
    usage >&2
    exit 2
    ;;
  *) break ;;
  esac
done

[ "$(sed -n 1p "$bundle/manifest.txt" 2>/dev/null)" = "$format" ] ||
  fail "$bundle/manifest.txt: expected \"$format\" in its first line; this script belongs beside the files of its bundle."
case $into in /*) ;; *) into="$(pwd)/$into" ;; esac

task=${1:-}
check_machine
setup_folder
"$into/bin/deno" --version >/dev/null || fail "the Deno of this bundle does not run on this system: see above."
setup_vulkan

# shellcheck disable=SC1091 # made above
. "$into/env.sh"
if [ "$task" = visit ]; then
  shift
  exec deno run -A "$into/project/bundle/visit.ts" "$@" # where this was called, for its results
fi
cd "$into/project"
case $(fact data) in
none | npm) ;;
*) [ -z "$with_data" ] || say "data set: --data $(quote "$into/$(fact data)")" ;;
esac
if [ $# = 0 ]; then
  say "ready; to use it in a shell of your own: . $(quote "$into/env.sh"), then deno task TASK in $into/project"
  exit 0
fi
exec deno task "$@"
