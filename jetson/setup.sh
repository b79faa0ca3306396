#!/usr/bin/env bash
# Install posetrt on a Jetson. Prints what it would do; with --apply it does it. Running it again does only what is missing.
#
#   jetson/setup.sh                        what would be done on this board
#   sudo jetson/setup.sh --apply           packages, virtual environment, pycuda, posetrt
#   sudo jetson/setup.sh --apply --jtop --swap --service
#   sudo jetson/setup.sh --apply --upgrade     this checkout in place of the installed posetrt; the service restarted
#
# TensorRT and OpenCV come from JetPack: the virtual environment sees the system's packages, and pip never installs its own OpenCV,
# which would hide JetPack's: pip's has no GStreamer for a cv2.VideoCapture of your own, and may need another NumPy. posetrt's own
# CSI cameras and hardware decoding run in gst-launch-1.0 and need GStreamer's tools, not OpenCV's GStreamer.
set -euo pipefail

apply=no jtop=no swap=no service=no upgrade=no root="" venv=/opt/posetrt
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    printf '%s\n' "" "options:" \
        "  --apply       do it (root)" \
        "  --jtop        install jetson-stats and its service (AGPL-3.0)" \
        "  --swap        make an 8 GB /swapfile where memory is under 8 GiB and there is no swap" \
        "  --service     install and enable the systemd unit, its environment file and the camera rule" \
        "  --upgrade     install posetrt again from this checkout, and restart the service where it runs" \
        "  --venv DIR    virtual environment (default $venv; the unit expects it there)" \
        "  --root DIR    look for the board's files below DIR (for tests)"
}

while [ $# -gt 0 ]; do
    case "$1" in
    --apply) apply=yes ;;
    --jtop) jtop=yes ;;
    --swap) swap=yes ;;
    --service) service=yes ;;
    --upgrade) upgrade=yes ;;
    --venv) venv=${2:?--venv needs a folder} && shift ;;
    --root) root=${2:?--root needs a folder} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) printf 'setup.sh: unknown option %s; see --help\n' "$1" >&2 && exit 2 ;;
    esac
    shift
done

say() { printf '%s\n' "$*"; }
fail() { printf 'setup.sh: %s\n' "$*" >&2 && exit 1; }

# run WHAT COMMAND...: say it; do it with --apply.
run() {
    local what=$1
    shift
    say "do:   $what"
    say "      $*"
    if [ "$apply" = yes ]; then "$@"; fi
}
have() { say "have: $*"; }

# --- the board
release="$root/etc/nv_tegra_release"
[ -r "$release" ] || fail "no /etc/nv_tegra_release: this is no Jetson. On other computers, in this checkout: pip install '.[desk]'"
major=$(sed -n '1s/^# R\([0-9]*\) (release).*/\1/p' "$release")
revision=$(sed -n '1s/.*REVISION: \([0-9.]*\).*/\1/p' "$release")
[ -n "$major" ] || fail "the first line of /etc/nv_tegra_release is not as expected: $(head -n 1 "$release")"
[ "$major" -ge 36 ] || fail "L4T $major.$revision is JetPack 5 or older, whose Python is 3.8; JetPack 6 is the oldest that posetrt runs on"
model="unknown board"
if [ -r "$root/proc/device-tree/model" ]; then model=$(tr -d '\0' <"$root/proc/device-tree/model"); fi
say "board: $model, L4T $major.$revision"
if [ "$apply" = yes ]; then
    [ "$(id -u)" -eq 0 ] || fail "--apply needs root: sudo ${BASH_SOURCE[0]} --apply"
else
    say "nothing is changed: these are the steps; add --apply to do them"
fi

# --- packages of the system
installed() { dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Status}' "$1" 2>/dev/null | grep -q ' installed$'; }
wanted=(python3-venv python3-dev build-essential python3-libnvinfer)
# csi://, rtsp:// and GStreamer strings: gst-launch-1.0, and parsers for the hardware's decoders.
wanted+=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad)
# JetPack 6 brings an OpenCV with GStreamer; from JetPack 7 on Ubuntu's own has it.
if [ "$major" -lt 38 ]; then wanted+=(libopencv-python); else wanted+=(python3-opencv); fi
missing=()
for package in "${wanted[@]}"; do
    if installed "$package"; then have "package $package"; else missing+=("$package"); fi
done
if [ ${#missing[@]} -gt 0 ]; then
    run "packages of JetPack and Ubuntu" apt-get install --yes --no-install-recommends "${missing[@]}"
fi

# --- CUDA, for pycuda: the newest of JetPack's, its bin folder first on PATH so that no other nvcc is taken.
cuda=""
for candidate in "$root"/usr/local/cuda "$root"/usr/local/cuda-[0-9]*; do
    if [ -x "$candidate/bin/nvcc" ]; then cuda=$candidate && break; fi
done
if [ -n "$cuda" ]; then
    have "CUDA compiler $cuda/bin/nvcc"
else
    run "CUDA compiler and libraries" apt-get install --yes nvidia-jetpack
    cuda=/usr/local/cuda
fi

# --- swap: building pycuda and a large engine needs more than 8 GiB.
kilobytes=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' "$root/proc/meminfo")
# zram, which JetPack switches on, lies in the same memory: it helps no build.
swaps=$(tail -n +2 "$root/proc/swaps" 2>/dev/null | grep -vc '^/dev/zram' || true)
if [ "${kilobytes:-0}" -ge 8388608 ] || [ "${swaps:-0}" -gt 0 ]; then
    have "memory and swap enough to build"
elif [ "$swap" = no ]; then
    say "look: $((kilobytes / 1024)) MiB of memory and no swap beside zram: builds may be killed; add --swap for an 8 GB swap file"
elif [ -e "$root/swapfile" ]; then
    run "switch the swap file on" swapon "$root/swapfile"
else
    run "room for a swap file" fallocate --length 8G "$root/swapfile"
    run "only root may read it" chmod 600 "$root/swapfile"
    run "make it a swap file" mkswap "$root/swapfile"
    run "switch it on" swapon "$root/swapfile"
    if ! grep -q '^/swapfile ' "$root/etc/fstab" 2>/dev/null; then
        # shellcheck disable=SC2016 # $1 is the inner shell's
        run "switch it on at each boot" sh -c 'echo "/swapfile none swap sw 0 0" >> "$1"' sh "$root/etc/fstab"
    fi
fi

# --- the virtual environment
if [ -x "$venv/bin/python" ] && grep -qi '^include-system-site-packages *= *true' "$venv/pyvenv.cfg" 2>/dev/null; then
    have "virtual environment $venv that sees JetPack's TensorRT and OpenCV"
else
    run "virtual environment that sees JetPack's TensorRT and OpenCV" python3 -m venv --system-site-packages "$venv"
fi
# NumPy as the system's OpenCV was built for: JetPack 6's and Ubuntu 24.04's do not import with NumPy 2. Where Ubuntu's own NumPy is
# newer, so is its OpenCV. Every pip below is told, since any of them may bring another NumPy along.
numpy='numpy>=1.23,<2'
theirs=$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' python3-numpy 2>/dev/null || true)
theirs=${theirs#*:}
if [ -n "$theirs" ] && [ "${theirs%%.*}" -ge 2 ]; then numpy='numpy>=2'; fi
knows() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "import $1" 2>/dev/null; }

if knows pycuda; then
    have "pycuda"
else
    run "pycuda, built against $cuda" env "PATH=$cuda/bin:$PATH" "CUDA_ROOT=$cuda" "$venv/bin/python" -m pip install --no-cache-dir "$numpy" 'pycuda>=2024.1'
fi

# numpy is the only package that posetrt itself needs.
if [ "$upgrade" = no ] && knows posetrt; then
    have "posetrt (--upgrade installs it again from this checkout)"
else
    run "posetrt" "$venv/bin/python" -m pip install --upgrade "$numpy" "$here/.."
    # A version number that has not changed would otherwise leave the installed files as they are.
    if [ "$upgrade" = yes ]; then
        run "posetrt, of this checkout" "$venv/bin/python" -m pip install --force-reinstall --no-deps "$here/.."
    fi
fi

# link PROGRAM: where `sudo` and every shell find it.
link() {
    local target="$root/usr/local/bin/$1"
    if [ "$(readlink "$target" 2>/dev/null)" = "$venv/bin/$1" ]; then
        have "$target"
    elif [ -e "$target" ] && [ ! -L "$target" ]; then
        have "$target, which is another one; ours is $venv/bin/$1"
    else
        run "$1, where sudo finds it" mkdir -p "$root/usr/local/bin"
        run "a link to it" ln -sfn "$venv/bin/$1" "$target"
    fi
}
link posetrt

# The GPU and cameras belong to these groups; a user outside them has "no GPU".
person=${SUDO_USER:-}
if [ -n "$person" ] && [ "$person" != root ]; then
    for group in video render; do
        if ! getent group "$group" >/dev/null; then
            continue
        elif id -nG "$person" | tr ' ' '\n' | grep -qx "$group"; then
            have "$person in the group $group"
        else
            run "$person in the group $group (log out and in again afterwards)" usermod --append --groups "$group" "$person"
        fi
    done
fi

# `posetrt bench --report` draws with matplotlib; --coco counts with pycocotools.
if knows matplotlib && knows pycocotools; then
    have "matplotlib and pycocotools"
else
    run "matplotlib and pycocotools, for benchmark reports" "$venv/bin/python" -m pip install "$numpy" 'matplotlib>=3.7' 'pycocotools>=2.0.7'
fi

# The health port that the service asks, and the web page, are served by aiohttp; --write-video writes with PyAV.
if knows aiohttp && knows av; then
    have "aiohttp and PyAV"
else
    run "aiohttp and PyAV, for the health port and written video" "$venv/bin/python" -m pip install "$numpy" 'aiohttp>=3.9' 'av>=12'
fi

# --- jetson-stats
if [ "$jtop" = yes ]; then
    if knows jtop; then
        have "jetson-stats"
    else
        run "jetson-stats" "$venv/bin/python" -m pip install "$numpy" 'jetson-stats>=4.2'
    fi
    # Its unit starts /usr/local/bin/jtop, wherever jetson-stats was installed.
    link jtop
    if [ -e "$root/etc/systemd/system/jtop.service" ]; then
        have "jtop's service"
    else
        run "jtop's service" "$venv/bin/jtop" --install-service
    fi
fi

# --- start at boot
if [ "$service" = yes ]; then
    [ "$venv" = /opt/posetrt ] || say "look: the unit runs /opt/posetrt; change its paths for $venv"
    if id posetrt >/dev/null 2>&1; then
        have "user posetrt"
    else
        groups=video
        if getent group render >/dev/null; then groups=video,render; fi
        run "user posetrt" useradd --system --groups "$groups" --home-dir /var/lib/posetrt --shell /usr/sbin/nologin posetrt
    fi
    copy() { # copy SOURCE TARGET: where it differs
        if cmp -s "$1" "$2"; then have "$2"; else run "$(basename "$2")" install -D --mode=644 "$1" "$2"; fi
    }
    copy "$here/system/posetrt.service" "$root/etc/systemd/system/posetrt.service"
    copy "$here/system/posetrt-build.service" "$root/etc/systemd/system/posetrt-build.service"
    copy "$here/system/99-posetrt-camera.rules" "$root/etc/udev/rules.d/99-posetrt-camera.rules"
    # The user's own settings are never written over.
    if [ -e "$root/etc/posetrt.env" ]; then have "/etc/posetrt.env"; else copy "$here/system/posetrt.env" "$root/etc/posetrt.env"; fi
    if [ -d /run/systemd/system ]; then
        run "let systemd and udev see them" systemctl daemon-reload
        run "rules for cameras" udevadm control --reload
    else
        say "look: systemd does not run here, as in an image that is being made: the units and rules count from the next boot"
    fi
    run "start at boot" systemctl enable posetrt.service
    say "next: put a model folder to /var/lib/posetrt/person, edit /etc/posetrt.env, then: sudo systemctl start posetrt"
fi
if [ "$upgrade" = yes ] && [ -d /run/systemd/system ]; then
    run "the service with what was installed, where it runs" systemctl try-restart posetrt.service
fi
say "then: posetrt doctor"
