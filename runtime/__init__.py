"""What runs on the robot: frames in, people out. Imports numpy, and cv2 only where frames are touched."""
