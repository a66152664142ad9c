"""The rows of `metrics.csv` as TensorBoard scalars; needs the extra `tensorboard`."""

import contextlib

from data_tools.errors import require_extra

TAGS = {
    "train_loss": "loss/train",
    "train_utterance_loss": "loss/train_utterance",
    "train_frame_loss": "loss/train_frame",
    "dev_loss": "loss/dev",
    "dev_error_rate": "dev/error_rate",
    "dev_f1": "dev/F1",
    "grad_norm": "train/gradient_norm",
    "seconds": "train/seconds",
}


def import_tensorboard():
    """The library that writes event files. InputError: it is not installed."""
    return require_extra("tensorboard", "--tensorboard", "tensorboardX")


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
    with import_tensorboard().SummaryWriter(str(folder / "tensorboard"), purge_step=1) as writer:

        def write(row):
            for name, tag in TAGS.items():
                if row[name] is not None:
                    writer.add_scalar(tag, row[name], row["epoch"])
            writer.flush()

        for row in history:
            write(row)
        yield write
