"""Where sounds come from: the built-in ones, a folder, or TUT Rare Sound Events 2017."""
