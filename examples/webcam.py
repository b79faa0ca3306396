"""People of a camera or a video in your own OpenCV loop, with ids and drawing.

python examples/webcam.py            the first camera
python examples/webcam.py clip.mp4   a video; q ends it
"""

import sys
import time

import cv2

import posetrt


def main(source: str = "0") -> None:
    """Show every frame of a source with the people in it."""
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        sys.exit(f"OpenCV cannot open {source}: give a camera's number or a video")
    with posetrt.open() as pose:  # nano; or posetrt.open("person/", precision="int8")
        tracker = posetrt.Tracker(pose.skeleton)
        while True:
            there, frame = capture.read()
            if not there:
                break
            people = tracker(pose(frame), time.monotonic())
            for person in people.to_dict():
                print(person["id"], person["keypoints"].get("Nose"))
            cv2.imshow("people", posetrt.draw(frame, people))
            if cv2.waitKey(1) == ord("q"):
                break


if __name__ == "__main__":
    main(*sys.argv[1:])
