"""The files of TUT Rare Sound Events 2017 on Zenodo.

Sizes and MD5 sums are those in the dataset classes of dcase_util; no other sums are known. The rendered development
mixtures are not listed: recipes render to the same samples, and their sums were never recorded.
"""

from dataclasses import dataclass

BASE_URL = "https://zenodo.org/record"  # files are at BASE_URL/RECORD/files/NAME


@dataclass(frozen=True)
class Package:
    """One file of a Zenodo record."""

    name: str
    n_bytes: int | None  # None: the size is not recorded, so that only the sum can be checked
    md5: str  # 32 hexadecimal digits


@dataclass(frozen=True)
class Collection:
    """One of the two data sets. All its packages are unpacked into one folder."""

    subset: str  # development or evaluation
    folder: str  # its name; packages may or may not have it as their first level
    record: int  # its number on Zenodo
    packages: tuple[Package, ...]
    content: tuple[str, ...]  # folders that must be there once all is unpacked: what `data_tools.banks.tut2017` reads


def _packages(prefix, *rows):
    return tuple(Package(prefix + name, n_bytes, md5) for name, n_bytes, md5 in rows)


DEVELOPMENT = Collection(
    "development",
    "TUT-rare-sound-events-2017-development",
    401395,
    _packages(
        "TUT-rare-sound-events-2017-development.",
        ("doc.zip", 21042, "47c424fe90d2bdc53d9fdd84341c2783"),
        ("code.zip", 81518, "4cacdf0803daf924a60bf9daa573beb7"),
        ("source_data_bgs_and_cvsetup.1.zip", 1072175672, "6f1f4156d41b541d1188fcf44c9a8267"),
        ("source_data_bgs_and_cvsetup.2.zip", 1073378284, "ff5dcbe250e45cc404b7b8a6013002ac"),
        ("source_data_bgs_and_cvsetup.3.zip", 1069766123, "fb356ae309a40d2f0a38fc1c746835cb"),
        ("source_data_bgs_and_cvsetup.4.zip", 1070042681, "2a68575b2ec7a69e2cc8b16b87fae0c9"),
        ("source_data_bgs_and_cvsetup.5.zip", 1073380909, "84e70d855457a18115108e42ec04501a"),
        ("source_data_bgs_and_cvsetup.6.zip", 1073021941, "048ce898bd434097dd489027f7ba361d"),
        ("source_data_bgs_and_cvsetup.7.zip", 1069890239, "3ef1c89fcfac39918a5edc5abc6ed29b"),
        ("source_data_bgs_and_cvsetup.8.zip", 180860904, "69dcb81e70f4e6605e178693afcd7722"),
        ("source_data_events.zip", 639119477, "dc4b7eb77078b4cf1b670c6362679473"),
    ),
    ("data/source_data/bgs/audio", "data/source_data/events", "data/source_data/cv_setup"),
)

EVALUATION = Collection(
    "evaluation",
    "TUT-rare-sound-events-2017-evaluation",
    1160455,
    (
        Package("LICENSE.txt", None, "0707857098fc74d17beb824416fb74b1"),
        Package("FREESOUNDCREDITS.txt", None, "3ecea52bdb0eadd6e1af52a21f735d6d"),
        *_packages(
            "TUT-rare-sound-events-2017-evaluation.",
            ("doc.zip", 11701, "36db98a94ce871c6bdc5bd5238383114"),
            ("mixture_data.1.zip", 1071143794, "db4aecd5175dead27ceb2692e7f28bb1"),
            ("mixture_data.2.zip", 1071773516, "e97d5842c46805cdb94e6d4017870cde"),
            ("mixture_data.3.zip", 1073505512, "1fe20c762cecd26979e2c5303c8e9f48"),
            ("mixture_data.4.zip", 1071132551, "5042cd00aed9af6b37a253e24f88554f"),
            ("mixture_data.5.zip", 308314939, "72180597ed5bfaa73491755f74b84738"),
        ),
    ),
    ("data/mixture_data/evaltest",),
)

COLLECTIONS = {collection.subset: collection for collection in (DEVELOPMENT, EVALUATION)}

LICENCE = """\
Backgrounds, mixtures and synthesizer: end-user licence of Tampere University of Technology (EULA.pdf in the data):
free of charge, for academic research only, with citation (A. Mesaros et al., DCASE 2017 Challenge setup).
Event recordings: from freesound.org, each under its own licence, named in the .yaml file beside it:
CC BY-NC 3.0, CC BY 3.0, Sampling Plus 1.0 or CC0 1.0. By using the data you accept these terms."""
