"""A real RTSP server (GStreamer's, from Debian's packages) in a process of the system's Python.

Run as: rtsp_server.py PORT [vp8|h264] [audio]. The sound, where there is any, is the first of the two streams.
"""

from __future__ import annotations

import sys

ENCODED = {
    "vp8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=15 ! rtpvp8pay name=pay0 pt=96",
    "h264": "openh264enc gop-size=15 ! h264parse ! rtph264pay config-interval=1 name=pay0 pt=96",
}


# A packet each 10 ms, so that sound nearly always comes before the first picture.
SOUND = (
    "audiotestsrc is-live=true wave=ticks samplesperbuffer=80 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! "
    "rtppcmapay max-ptime=10000000 name=pay0 pt=8"
)


def main(port: str, codec: str = "vp8", sound: str = "") -> None:
    """Serve a moving test picture at rtsp://127.0.0.1:PORT/camera."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    picture = f"videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! {ENCODED[codec]}"
    factory.set_launch(f"( {SOUND} {picture.replace('name=pay0', 'name=pay1').replace('15/1', '4/1')} )" if sound else f"( {picture} )")
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print("serving", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
