"""Write mixtures as 24-bit WAV files under the official names, as the DCASE 2017 synthesizer stores them."""

import io
from pathlib import Path

from data_tools.audio import CLIP_S, SAMPLE_RATE
from data_tools.errors import InputError
from data_tools.files import atomic_write
from data_tools.mixing import naming_all, quantize24, render
from data_tools.workers import processes, spared_from_ctrl_c

MIXTURE_BYTES = int(CLIP_S * SAMPLE_RATE) * 3  # of samples in a file; its header is not counted
CHUNK = 8  # recipes that a worker gets at a time


def write_mixtures(bank, recipes, folder, n_jobs=1):
    """Render recipes into WAV files of their names. Complete files are kept, so an interrupted run can be repeated.

    Parameters
    ----------
    bank : data_tools.banks.base.Bank
    recipes : list of Recipe
    folder : str or Path
        Must exist.
    n_jobs : int
        Number of processes, -1 for all cores; one where there can be no others. The files do not depend on it.

    Yields
    ------
    bool, for each recipe in order: whether its file was written (else it was kept).

    Raises
    ------
    InputError
        A sound cannot be used, two recipes have one name, a name is not a plain file name, or a process was killed.
    OSError
        The disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    names = set()
    for recipe in recipes:
        if Path(recipe.name).name != recipe.name or "\\" in recipe.name or not recipe.name:
            raise InputError(f"{recipe.name!r}: not a plain file name")
        if recipe.name in names:
            raise InputError(f"{recipe.name}: two recipes have this name")
        names.add(recipe.name)

    n_jobs = processes(n_jobs)
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    chunks = [recipes[i : i + CHUNK] for i in range(0, len(recipes), CHUNK)]
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    with spared_from_ctrl_c():
        results = parallel(joblib.delayed(_write_chunk)(bank, chunk, folder) for chunk in chunks)
    try:
        with naming_all(recipes, bank):
            for written in results:
                yield from written
    except (InputError, OSError) as error:
        raise error from None  # joblib would show the traceback of the process on top
    except TerminatedWorkerError as error:
        reason = "a process was killed, most likely because memory ran out; fewer --jobs need less, whole files stay"
        raise InputError(f"{folder}: {reason}") from error


def write_wav24(path, integers):
    """Write (samples,) int32 of 24 bits as mono WAV at 44.1 kHz, atomically and without rounding."""
    import soundfile

    buffer = io.BytesIO()  # libsndfile would not pass on why a write failed, such as a full disk
    soundfile.write(buffer, integers << 8, SAMPLE_RATE, format="WAV", subtype="PCM_24")
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def is_complete(path):
    """Whether `path` is a complete mixture file: 24-bit mono WAV at 44.1 kHz, as long as its header says."""
    import soundfile

    path = Path(path)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        head = file.read(8)
    if head[:4] != b"RIFF" or int.from_bytes(head[4:], "little") + 8 != path.stat().st_size:
        return False
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return False
    return (info.subtype, info.channels, info.samplerate) == ("PCM_24", 1, SAMPLE_RATE) and info.frames > 0


def _write_chunk(bank, recipes, folder):
    written = []
    for recipe in recipes:
        path = folder / recipe.name
        written.append(not is_complete(path))
        if written[-1]:
            write_wav24(path, quantize24(render(recipe, bank)))
    return written
