"""A film of pictures as one PNG that moves (APNG), which browsers and code hosts show like any other PNG."""

import io

COLOURS = 48  # a third of the bytes of full colour


def animation(pictures, seconds_each, last):
    """Bytes of an APNG that runs for ever.

    Parameters
    ----------
    pictures : list of (height, width, 4) uint8 ndarray
        All of one size. The first is what is shown where nothing moves.
    seconds_each, last : float
        How long each is shown, and the last one.
    """
    from PIL import Image

    frames = [Image.fromarray(picture).convert("RGB") for picture in pictures]
    palette = frames[-1].quantize(COLOURS)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [round(1000 * seconds_each)] * (len(frames) - 1) + [round(1000 * last)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    return file.getvalue()
