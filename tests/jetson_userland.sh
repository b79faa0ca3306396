#!/usr/bin/env bash
# setup.sh and the units on the userlands of JetPack 6 and 7: Ubuntu 22.04 and 24.04 by debootstrap, booted by systemd-nspawn.
# Needs Debian's or Ubuntu's packages debootstrap and systemd-container, curl, gpg and root. Nothing outside FOLDER is changed.
#
#   tests/jetson_userland.sh [FOLDER] [jammy] [noble]      FOLDER keeps the userlands (default build/userland)
#
# What stands in for a board: NVIDIA's packages (TensorRT's bindings, JetPack's OpenCV) are empty ones that depend on Ubuntu's OpenCV, and
# so are nvcc and pycuda; the processor is this computer's. No GPU, no camera and no engine is run: that needs a board.
# Ends with 1 where a check fails, and says of each check that could not be made why.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-build/userland}
mkdir -p "$work" && work=$(cd "$work" && pwd)
[ $# -eq 0 ] || shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(jammy noble)
mirror=http://archive.ubuntu.com/ubuntu
# Ubuntu Archive Automatic Signing Key (2018), as https://wiki.ubuntu.com/SecurityTeam/FAQ prints it.
key=F6ECB3762474EDA9D21B7022871920D1991BC93C
keyring=$work/keyring/usr/share/keyrings/ubuntu-archive-keyring.gpg
failures=0

say() { printf '%s\n' "$*"; }
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        say "ok:      $what"
    else
        say "FAILED:  $what"
        sed 's/^/         /' "$work/out" | tail -n 15
        failures=$((failures + 1))
    fi
}
skip() { say "skipped: $*"; }

for program in debootstrap systemd-nspawn curl gpg dpkg-deb; do
    command -v "$program" >/dev/null || { say "jetson_userland.sh: $program is missing: sudo apt install debootstrap systemd-container curl gpg" >&2 && exit 1; }
done
[ "$(id -u)" -eq 0 ] || { say "jetson_userland.sh needs root" >&2 && exit 1; }
if ! curl --silent --fail --max-time 20 --output /dev/null "$mirror/dists/jammy/Release"; then
    say "Ubuntu's archive cannot be reached ($mirror): nothing was checked" >&2
    exit 1
fi
if [ ! -e "$keyring" ]; then
    curl --silent --fail --output "$work/keyring.deb" "$mirror/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
    mkdir -p "$work/keyring" && dpkg-deb -x "$work/keyring.deb" "$work/keyring"
    gpg --show-keys --with-colons "$keyring" 2>/dev/null | grep -q "^fpr:*$key:" || { say "the keyring lacks Ubuntu's key $key" >&2 && exit 1; }
fi

in_root() { chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"; }

make_userland() { # make_userland SUITE: the packages that setup.sh would ask apt for, and what a test of the units needs
    [ ! -e "$root/.made" ] || return 0
    [ -e "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase --components=main,universe --keyring="$keyring" "$1" "$root" "$mirror" \
        /usr/share/debootstrap/scripts/gutsy >"$work/$1.log"
    cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
    echo "deb $mirror $1 main universe" >"$root/etc/apt/sources.list"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
    in_root apt-get update >>"$work/$1.log"
    in_root apt-get install --yes --no-install-recommends systemd systemd-sysv dbus udev python3-venv python3-dev build-essential \
        python3-opencv gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad >>"$work/$1.log"
    for package in python3-libnvinfer libopencv-python; do
        mkdir -p "$work/deb/DEBIAN"
        printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDepends: python3-opencv\nDescription: stand-in\n' \
            "$package" >"$work/deb/DEBIAN/control"
        dpkg-deb --build "$work/deb" "$root/tmp/$package.deb" >/dev/null
        in_root dpkg --install "/tmp/$package.deb" >/dev/null
        rm -r "$work/deb"
    done
    mkdir -p "$root/usr/local/cuda/bin" "$root/usr/lib/python3/dist-packages/pycuda"
    printf '#!/bin/sh\n' >"$root/usr/local/cuda/bin/nvcc" && chmod +x "$root/usr/local/cuda/bin/nvcc"
    touch "$root/usr/lib/python3/dist-packages/pycuda/__init__.py"
    touch "$root/.made"
}

# What runs in the booted userland: as posetrt.service, with its sandbox, in posetrt's place.
put_stand_ins() {
    mkdir -p "$root/check" "$root/etc/systemd/system/posetrt.service.d" "$root/etc/systemd/system/posetrt-build.service.d"
    cat >"$root/check/argus.py" <<'PYTHON'
import socket
plug = socket.socket(socket.AF_UNIX)
plug.bind("/tmp/argus_socket")
__import__("os").chmod("/tmp/argus_socket", 0o777)
plug.listen()
while True:
    plug.accept()[0].close()
PYTHON
    cat >"$root/check/inside.py" <<'PYTHON'
import os, socket, sys, time
from pathlib import Path


def attempt(what, action):
    try:
        action()
        said = "yes"
    except OSError as error:
        said = f"no: {error}"
    with open(Path(sys.argv[1]), "a") as file:
        file.write(f"{what}={said}\n")


# The stand-in of the daemon needs a moment, where it was started just before.
time.sleep(2)
attempt("argus", lambda: socket.socket(socket.AF_UNIX).connect("/tmp/argus_socket"))
# A device beyond those that each policy allows, which a container has too.
attempt("device", lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)))
attempt("state", lambda: Path("/var/lib/posetrt/written").touch())
attempt("system-stays-closed", lambda: Path("/usr/written").touch())
plug = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = os.environ.get("NOTIFY_SOCKET")
if address:
    plug.connect("\0" + address[1:] if address.startswith("@") else address)
    for _ in range(600):
        plug.send(b"READY=1\nWATCHDOG=1")
        time.sleep(1)
PYTHON
    cat >"$root/check/check.sh" <<'SHELL'
#!/bin/sh
# Runs once the boot is over; multi-user.target must be reached while the engine is still being built.
systemctl is-active multi-user.target posetrt-build.service jtop.service >/check/while-building 2>&1
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    systemctl is-active --quiet posetrt.service && break
    sleep 1
done
systemctl is-active posetrt.service >/check/afterwards
systemctl status --no-pager posetrt.service posetrt-build.service >/check/status 2>&1
journalctl --boot --no-pager >/check/journal 2>&1
# The same with the settings that the unit must not have: what they would do here.
systemd-run --wait --quiet -p User=posetrt -p StateDirectory=posetrt -p ProtectClock=yes /usr/bin/python3 /check/inside.py /var/lib/posetrt/clock
systemd-run --wait --quiet -p User=posetrt -p StateDirectory=posetrt -p PrivateTmp=yes /usr/bin/python3 /check/inside.py /var/lib/posetrt/tmp
# What systemd itself makes of the unit's devices, and of one with ProtectClock=, whether or not this kernel enforces it.
systemctl show -p DevicePolicy -p DeviceAllow posetrt.service >/check/devices
systemd-run --quiet --unit=with-clock -p ProtectClock=yes /bin/sleep 60
systemctl show -p DevicePolicy -p DeviceAllow with-clock.service >/check/devices-with-clock
systemd-analyze security --no-pager posetrt.service >/check/security 2>&1
systemctl poweroff
SHELL
    chmod +x "$root/check/check.sh"
    printf '[Service]\nType=simple\nExecStart=/usr/bin/python3 /check/argus.py\n' >"$root/etc/systemd/system/nvargus-daemon.service"
    # jetson-stats before 7.1.5
    printf '[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/bin/sleep 600\n[Install]\nWantedBy=multi-user.target\n' \
        >"$root/etc/systemd/system/jtop.service"
    printf '[Unit]\nWants=nvargus-daemon.service\n[Service]\nExecStart=\nExecStart=/usr/bin/python3 /check/inside.py /var/lib/posetrt/found\n' \
        >"$root/etc/systemd/system/posetrt.service.d/stand-in.conf"
    printf '[Service]\nExecStart=\nExecStart=/bin/sleep 8\n' >"$root/etc/systemd/system/posetrt-build.service.d/stand-in.conf"
    printf '[Unit]\nAfter=multi-user.target\n[Service]\nType=exec\nExecStart=/check/check.sh\n[Install]\nWantedBy=multi-user.target\n' \
        >"$root/etc/systemd/system/userland-check.service"
    rm -f "$root"/check/{while-building,afterwards,devices,devices-with-clock} "$root"/var/lib/posetrt/{found,clock,tmp}
    in_root systemctl enable jtop.service userland-check.service nvargus-daemon.service >/dev/null 2>&1 || true
    in_root systemctl enable jtop.service userland-check.service >/dev/null 2>&1
}

for suite in "${suites[@]}"; do
    root=$work/$suite
    case $suite in jammy) release='# R36 (release), REVISION: 4.3' ;; *) release='# R39 (release), REVISION: 2.0' ;; esac
    make_userland "$suite"
    version=$(in_root systemctl --version | head -n 1)
    say "--- $suite: $version, $(in_root gst-launch-1.0 --version 2>/dev/null | sed -n 2p), $(in_root python3 --version)"
    echo "$release, GCID: 1, BOARD: generic" >"$root/etc/nv_tegra_release"
    rm -rf "$root/src" "$root"/etc/systemd/system/{posetrt,posetrt-build}.service{,.d} && mkdir "$root/src"
    tar -C "$here" --exclude=.git --exclude=.venv --exclude=build --exclude=out -c . | tar -C "$root/src" -x
    # This computer's certificates, for a network whose proxy has one of its own.
    mkdir -p "$root/etc/ssl/certs" && cp --remove-destination /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
    check "setup.sh --apply --service" in_root bash /src/jetson/setup.sh --apply --service --upgrade
    check "setup.sh again finds nothing more to install" bash -c "! chroot '$root' bash /src/jetson/setup.sh --service | grep -A1 '^do:' | grep -E 'apt-get|pip install'"
    check "the system's OpenCV imports in the virtual environment" in_root /opt/posetrt/bin/python -c 'import cv2, numpy; print(cv2.__version__, numpy.__version__)'
    say "         OpenCV and NumPy: $(in_root /opt/posetrt/bin/python -c 'import cv2, numpy; print(cv2.__version__, numpy.__version__, cv2.__file__)' 2>&1 | tail -n 1)"
    check "sudo finds posetrt" in_root posetrt --help
    check "doctor runs" bash -c "chroot '$root' /usr/local/bin/posetrt doctor | grep -q 'people can'"
    check "units under systemd-analyze verify" bash -c "! chroot '$root' systemd-analyze verify --man=no posetrt.service posetrt-build.service 2>&1 | grep -i posetrt"
    if in_root udevadm verify --help >/dev/null 2>&1; then
        check "udev rules under udevadm verify" in_root udevadm verify /etc/udev/rules.d/99-posetrt-camera.rules
    else
        skip "udevadm verify: this udev has none (254 and newer)"
    fi
    put_stand_ins
    umount "$root/proc"
    # A hierarchy of its own, in which systemd can enforce a device policy where the kernel lets it.
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout 120 systemd-nspawn --quiet --register=no --keep-unit --boot --directory "$root" >"$work/$suite-boot.log" 2>&1 || true
    if [ ! -e "$root/check/afterwards" ]; then
        skip "booted: systemd-nspawn cannot boot here; see $work/$suite-boot.log"
        continue
    fi
    check "the boot is over while the engine is built" bash -c "diff <(printf 'active\nactivating\nactive\n') '$root/check/while-building'"
    check "the service is up after its build" grep -qx active "$root/check/afterwards"
    check "no ordering cycle with an older jtop" bash -c "! grep -i 'ordering cycle' '$root/check/journal'"
    found=$root/var/lib/posetrt/found
    check "csi: the socket of the camera daemon is reached from the service" grep -qx argus=yes "$found"
    check "the service writes its state and not the system" bash -c "grep -qx state=yes '$found' && grep -q 'system-stays-closed=no' '$found'"
    check "systemd makes no list of devices for the unit" bash -c "diff <(grep -v '^DeviceAllow=$' '$root/check/devices') <(echo DevicePolicy=auto)"
    if grep -q '^DeviceAllow=char-rtc' "$root/check/devices-with-clock"; then
        say "ok:      (with ProtectClock=yes it would make one, as expected)"
    else
        skip "with ProtectClock=yes this systemd shows no list of devices either, so the check before proves nothing here"
    fi
    if grep -q 'device=no' "$root/var/lib/posetrt/clock"; then
        check "a device that ProtectClock= would deny is open" grep -qx device=yes "$found"
    else
        skip "device policy: with ProtectClock=yes the device opens here too, so this kernel's container enforces none"
    fi
    if grep -qx argus=yes "$root/var/lib/posetrt/clock" && grep -q argus=no "$root/var/lib/posetrt/tmp"; then
        say "ok:      (PrivateTmp=yes would hide the socket, as expected)"
    else
        skip "PrivateTmp=yes hides nothing here, so the check of the socket proves nothing"
    fi
    say "         security: $(tail -n 1 "$root/check/security")"
done
say "$failures checks failed"
[ "$failures" -eq 0 ]
