"""What a training leaves behind and how it ends: its folder, its log, its checkpoint; a signal in the middle."""
