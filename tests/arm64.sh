#!/usr/bin/env bash
# The fast tests on the processor of a Jetson, emulated: an arm64 userland by debootstrap, aarch64 wheels by pip, run by qemu-user.
# Needs Debian's or Ubuntu's packages debootstrap and qemu-user-static, and root for debootstrap. No kernel setting is changed: the
# interpreter is started through qemu, and a wrapper stands in for sys.executable, so that tests may start Python themselves.
#
#   tests/arm64.sh [FOLDER] [pytest arguments...]        FOLDER keeps the userland and the wheels (default build/arm64)
#
# nano is then built and run on both processors, if this one's Python has posetrt ($PYTHON, default python3).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-build/arm64}
mkdir -p "$work" && work=$(cd "$work" && pwd)
[ $# -eq 0 ] || shift
root=$work/root site=$work/site python=$work/python

for program in debootstrap qemu-aarch64-static dpkg-deb; do
    command -v "$program" >/dev/null || { echo "arm64.sh: $program is missing: sudo apt install debootstrap qemu-user-static" >&2 && exit 1; }
done

if [ ! -e "$root/usr/bin/python3.11" ]; then
    # --foreign: packages are fetched and not configured, so that nothing of arm64 has to run for it.
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,python3-distutils,libgomp1 bookworm "$root"
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
fi
cat >"$python" <<WRAPPER
#!/bin/sh
export PYTHONHOME="$root/usr" PYTHONPATH="$site\${PYTHONPATH:+:\$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
exec qemu-aarch64-static -L "$root" -0 "$python" "$root/usr/bin/python3.11" "\$@"
WRAPPER
chmod +x "$python"

if [ ! -e "$site/.done" ]; then
    wheels=(--only-binary=:all: --implementation cp --python-version 3.11 --target "$site" --upgrade --quiet --disable-pip-version-check)
    for minor in 17 24 26 27 28 31 34; do wheels+=(--platform "manylinux_2_${minor}_aarch64"); done
    wheels+=(--platform manylinux2014_aarch64)
    # OpenCV without a window: a bare userland has no libGL. ONNX Runtime 1.31 on aarch64 ends in a segmentation fault under qemu 7.2 (1.22 does not).
    python3 -m pip install "${wheels[@]}" numpy onnx 'onnxruntime<1.23' 'opencv-python-headless<5' pycocotools protobuf tqdm pytest hypothesis scipy
    touch "$site/.done"
fi
rm -f "$work"/posetrt-*.whl
python3 -m pip wheel --quiet --no-deps --disable-pip-version-check --wheel-dir "$work" "$here"
rm -rf "$site/posetrt" "$site"/posetrt-*.dist-info
python3 -m pip install --quiet --no-deps --disable-pip-version-check --target "$site" "$work"/posetrt-*.whl

"$python" -c 'import platform, numpy, onnxruntime, cv2, posetrt; print("arm64:", platform.machine(), "numpy", numpy.__version__, "onnxruntime", onnxruntime.__version__, "cv2", cv2.__version__, "posetrt", posetrt.__version__)'
# The installed wheel is tested, not the checkout.
cd "$here"
"$python" -m pytest -p no:cacheprovider -o pythonpath=. -m "not slow and not gpu and not jetson" "$@"
if "${PYTHON:-python3}" -c 'import posetrt, onnxruntime' 2>/dev/null; then
    "${PYTHON:-python3}" tests/arm64_network.py "$work/here"
    "$python" tests/arm64_network.py "$work/there" "$work/here"
fi
