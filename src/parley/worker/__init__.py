"""Workers take turns off the queue, stream answers into the log and end the turns."""
