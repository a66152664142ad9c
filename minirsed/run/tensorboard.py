"""The rows of `metrics.csv` as TensorBoard scalars; needs the extra `minirsed[tensorboard]`."""

import contextlib

from data_tools.errors import InputError

TAGS = {
    "train_loss": "loss/train",
    "train_utterance_loss": "loss/train_clip",
    "train_frame_loss": "loss/train_frame",
    "dev_loss": "loss/dev",
    "dev_error_rate": "dev/error_rate",
    "dev_f1": "dev/F1",
    "grad_norm": "train/gradient_norm",
    "seconds": "train/seconds",
}


@contextlib.contextmanager
def scalar_writer(folder, history):
    """Context: a function that writes one row of metrics, the epoch as its step.

    Parameters
    ----------
    folder : Path
        Run folder; the event files go into its `tensorboard`.
    history : list of dict
        Rows of epochs done before, written first: a run that was killed may have lost some, or never had them.

    Raises
    ------
    InputError
        tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs tensorboardX: python -m pip install minirsed[tensorboard]") from None

    with SummaryWriter(str(folder / "tensorboard"), purge_step=1) as writer:

        def write(row):
            for name, tag in TAGS.items():
                if row[name] is not None:
                    writer.add_scalar(tag, row[name], row["epoch"])
            writer.flush()

        for row in history:
            write(row)
        yield write
