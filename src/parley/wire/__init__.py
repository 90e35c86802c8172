"""Pure codecs: stored records, native frames, the seeds' shapes. Values in, bytes out, and back."""
