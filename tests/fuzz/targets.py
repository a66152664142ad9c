"""What is fuzzed: each target writes bytes where a reader looks for them and reads. Shared with test_readers.py.

A reader may give a result or raise InputError with one line; anything else is a finding.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from data_tools.audio import read_audio
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.inventory import Holding
from data_tools.label_tracks import read_label_track
from data_tools.labelled_recordings import LABEL_SUFFIXES, labelled_recordings
from data_tools.live_sound import PcmFormat, pcm_blocks, read_wav_header
from data_tools.recipes import Recipe, read_recipes, recipes_text
from data_tools.rights import read_manifest
from data_tools.soundbank import SoundBank
from minirsed.adam import Adam
from minirsed.alarms import files as alarm_files
from minirsed.alarms.measure import Events, Measured
from minirsed.alarms.plots import draw_curve, draw_hours
from minirsed.card.content import sections, title
from minirsed.card.facts import read_facts
from minirsed.card.markdown import markdown
from minirsed.detector import Detector
from minirsed.mine import clips as mine_clips
from minirsed.mine import filing
from minirsed.model import ModelConfig, init_params
from minirsed.robustness import files as robust_files
from minirsed.run import checkpoint, metrics
from minirsed.run.folder import read_settings
from minirsed.run.settings import TrainSettings
from minirsed.several.detector import new_detector
from minirsed.store.archive import HEADER

CLIP = "a-0h00m01s-0123456789.wav,dog,alarm,0.9,2.0,2.5,/a/b.wav,1.25\n"
LABELS = [
    (".csv", b"file,onset,offset,label\nstreet.wav,1,2,dog\n"),
    (".txt", b"street.wav\t1\t2\tdog\n"),
    (".table.txt", b"onset (s) offset (s) h:mm:ss p recording\n 1.0 2.0  0:00:01  0.9  street.wav\n"),
    (".rttm", b"SPEAKER street 1 1.0 0.5 <NA> <NA> dog <NA>\n"),
    (".json", b'{"file": "street.wav", "label": "dog", "events": [{"onset_s": 1, "offset_s": 2.0}]}\n'),
    (".jams", b'{"annotations": [{"data": [{"time": 1, "duration": 1.5, "value": "dog"}]}]}'),
    (".selections.txt", b"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\t0.5\t1.5\tdog\n"),
]
ALARMS = {
    **dict.fromkeys(("n_recordings", "n_events", "n_hits", "n_misplaced", "n_false_alarms"), 2),
    **{"hours": 1.5, "thres0": 0.5, "thres1": 0.5, "in_words": "false alarms: 2 in 1.5 h", "notes": ["one night"]},
}


class Targets:
    """Readers by name, with valid files to start from; everything happens in one folder.

    Attributes
    ----------
    seeds : dict of str to list of bytes
        Valid inputs, and for `archive` valid parts of one.
    """

    names = (
        *("event_list", "label_track", "recipes", "split", "recordings", "events", "config", "checkpoint", "archive"),
        *("robust", "alarms", "card_sounds", "card_figures", "card_alarms", "manifest", "sound", "pipe", "labels"),
        *("negatives", "clips", "verdicts"),
    )

    def __init__(self, folder):
        self.folder = Path(folder)
        self.sounds, self.run = self.folder / "sounds", self.folder / "run"
        self.run.mkdir()
        (self.folder / "long").mkdir()
        soundfile.write(self.folder / "long/street.wav", np.full(60_000, 0.1), 1000)
        names = ("events/dog/1.wav", "events/dog/2.wav", "events/cow/ä b.wav", "backgrounds/park/3.wav")
        for name in (*names, "negatives/not-dog/4.wav"):
            (self.sounds / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(self.sounds / name, np.full(8000, 0.1), 8000)
        self.several = self._whole_checkpoint(("dog", "cow"))
        (self.run / checkpoint.NEWEST).unlink()  # or it would be the previous one of the next
        self.whole = self._whole_checkpoint(("dog",))
        (self.folder / "card").mkdir()
        (self.folder / "card" / "config.json").write_text(json.dumps({"settings": vars(TrainSettings())}))
        checkpoint.read_checkpoint(self.run).detector.save(self.folder / "card" / "best.npz")
        with zipfile.ZipFile(io.BytesIO(self.whole)) as archive:
            self.members = {member.filename: archive.read(member) for member in archive.infolist()}
        header = self.members[f"{HEADER}.npy"]
        start = header.index(b"\n") + 1
        self.numbered = sorted(self.members)
        parts = [bytes([n]) + self.members[name] for n, name in enumerate(self.numbered)]
        mixture = Recipe("m.wav", "a.wav", "park", 1.5, "dog", "1.wav", 0.0, 0.5, 2.0, 6.0, 0.25, 30.0)
        self.seeds = {
            "event_list": [b"a.wav\t1.0\t2.0\tdog\nb.wav\n", 'file;onset;offset\n"ä";1,5;2e0\n'.encode()],
            "label_track": [
                b"1.0\t2.0\tdog 0.50\n\\\t1\t2\n",
                b"Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\t0.5\t1.5\tdog\n",
            ],
            "recipes": [
                recipes_text([mixture, Recipe("n.wav", "a.wav", "park")]).encode(),
                recipes_text([mixture.with_events(2 * mixture.events)]).encode(),
                b"- !!int x\n",
            ],
            "split": [b'file,subset\nevents/dog/1.wav,train\n"backgrounds/park/3.wav",dev\n'],
            "recordings": [b'file,recording\nevents/dog/1.wav,a\nevents/dog/2.wav,a\n"backgrounds/park/3.wav",b\n'],
            "events": ["file,onset_s,offset_s\ndog/1.wav,0.1,0.5\ncow/ä b.wav,0,1\n".encode()],
            "negatives": [b"file;onset_s;offset_s\nnot-dog/4.wav;0,1;0,5\n"],
            "clips": [f"{','.join(mine_clips.COLUMNS)}\n{CLIP}".encode()],
            "verdicts": [b"clip,verdict\na-0h00m01s-0123456789.wav,not\n"],
            "config": [json.dumps({"settings": a}).encode() for a in (vars(TrainSettings()), {"alpha": 10**400})],
            "checkpoint": [self.whole, self.several],
            "archive": [*parts, b"\xff" + header[start:]],
            "robust": [json.dumps(self._robust()).encode()],
            "alarms": [json.dumps(self._alarms()).encode()],
            "card_sounds": [json.dumps(sounds).encode() for sounds in self._card_sounds()],
            "card_figures": [json.dumps(self._figures()).encode()],
            "card_alarms": [json.dumps(ALARMS).encode()],
            "manifest": [
                "file,Licence,author,url\nevents/dog/1.wav,CC0,ä,https://x.org\n".encode(),
                b"path;license\nevents/dog/1.wav;CC BY\n",
            ],
            "sound": [_sound(form) for form in ("WAV", "MP3", "FLAC", "OGG", "AIFF", "AU", "CAF", "W64", "RF64")],
            "labels": [bytes([LABEL_SUFFIXES.index(suffix)]) + text for suffix, text in LABELS],
            "pipe": [_sound("WAV"), _sound("RF64"), _sound("WAVEX") + b"LIST\4\0\0\0INFO"],
        }

    def __call__(self, name, data):
        """Read `data` as what is named; the InputError's message, None if there was none."""
        try:
            getattr(self, f"read_{name}")(data)
        except InputError as error:
            message = str(error)
            assert message and len(message.splitlines()) == 1, f"not one line: {message!r}"
            return message
        return None

    def read_event_list(self, data):
        """A DCASE event list."""
        read_event_list(self._file("list.csv", data))

    def read_label_track(self, data):
        """A label track of Audacity or a selection table of Raven."""
        read_label_track(self._file("track.txt", data))

    def read_labels(self, data):
        """Labels beside a recording, and of several in a list; data[0] says which suffix they have."""
        suffix = LABEL_SUFFIXES[data[0] % len(LABEL_SUFFIXES)] if data else ".txt"
        for name in ("street", "all"):
            path = self._file(f"long/{name}{suffix}", data[1:])
            try:
                labelled_recordings(self.folder / "long", "dog")
            finally:
                path.unlink()

    def read_recipes(self, data):
        """A recipe file; what was read can be written."""
        recipes_text(read_recipes(self._file("recipes.yaml", data)))

    def read_split(self, data):
        """`split.csv` of a sound folder."""
        self._read_sounds("split.csv", data)

    def read_recordings(self, data):
        """`recordings.csv` of a sound folder."""
        self._read_sounds("recordings.csv", data)

    def read_events(self, data):
        """`events.csv` of a sound folder."""
        self._read_sounds("events/events.csv", data)

    def read_negatives(self, data):
        """`negatives.csv` of a sound folder."""
        self._read_sounds("negatives/negatives.csv", data)

    def read_clips(self, data):
        """`clips.csv` of `minirsed.mine`; every clip has a place in a sound folder, and in no other."""
        self._file(mine_clips.LIST, data)
        for clip in mine_clips.read_list(self.folder).values():
            for verdict in filing.VERDICTS:
                assert (self.sounds / filing.name_in(clip, verdict)).resolve().is_relative_to(self.sounds.resolve())

    def read_verdicts(self, data):
        """`verdicts.csv` of a page of `minirsed.mine`."""
        filing.read_verdicts(self._file("verdicts.csv", data), {"a-0h00m01s-0123456789.wav": None})

    def read_config(self, data):
        """`config.json` of a run."""
        self._file("run/config.json", data)
        read_settings(self.run)

    def read_checkpoint(self, data):
        """`checkpoint.npz` of a run, any bytes."""
        self._file(f"run/{checkpoint.NEWEST}", data)
        checkpoint.read_checkpoint(self.run)

    def read_archive(self, data):
        """A checkpoint with right sums of which one part is other bytes: data[0] is its number, 255 the description."""
        number, content = (data[0], data[1:]) if data else (0, b"")
        name = f"{HEADER}.npy" if number == 255 else self.numbered[number % len(self.numbered)]
        if number == 255:
            buffer = io.BytesIO()
            np.save(buffer, np.frombuffer(content, np.uint8))
            content = buffer.getvalue()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for other, old in self.members.items():
                archive.writestr(other, content if other == name else old)
        self.read_checkpoint(buffer.getvalue())

    def read_robust(self, data):
        """`robust_eval.json` of a run; what was read can be drawn, as far as words and numbers go."""
        self._file("run/robust_eval.json", data)
        figures = robust_files.read(self.run, "eval")
        np.array([[change[name] for name in robust_files.COUNTS] for change in figures["changes"]], np.int64)
        for guard in figures["guards"]:
            robust_files.guard_name(guard)

    def read_alarms(self, data):
        """`alarms_eval.json` of a run; what was read can be drawn."""
        self._file("run/alarms_eval.json", data)
        figures = alarm_files.read(self.run, "eval")
        figure = Figure()
        draw_curve(figure.subplots(), figures)
        draw_hours(figure.subplots(), figures)

    def read_card_sounds(self, data):
        """`sounds.json` of a run, as its card says it."""
        self._read_card("sounds.json", data)

    def read_card_figures(self, data):
        """`figures_eval.json` of a run, as its card says it."""
        self._read_card("figures_eval.json", data)

    def read_card_alarms(self, data):
        """`alarms_eval.json` of a run, as its card says it."""
        self._read_card("alarms_eval.json", data)

    def _read_card(self, name, data):
        """Write a card, which says what it could not read; that is raised here."""
        self._file(f"card/{name}", data)
        try:
            facts = read_facts(self.folder / "card")
        finally:
            (self.folder / "card" / name).unlink()
        markdown(title(facts), sections(facts))
        damaged = [note for note in facts.notes if "damaged" in note]
        if damaged:
            raise InputError(damaged[0])

    def read_manifest(self, data):
        """`manifest.csv` of a sound folder."""
        read_manifest(self._file("manifest.csv", data))

    def read_sound(self, data):
        """A sound file, at its own rate (one of 1 Hz would become large at 44.1 kHz), in one piece and in part."""
        path = self._file("sound", data)
        read_audio(path, sr=None)
        read_audio(path, sr=None, start_s=0.01, duration_s=0.02)

    def read_pipe(self, data):
        """WAV or raw PCM from a pipe."""
        pipe = io.BytesIO(data)
        wav, first = read_wav_header(pipe, "pipe", raw=len(data) % 2 == 1)
        for _ in pcm_blocks(pipe, wav or PcmFormat(), "pipe", first):
            pass

    def _read_sounds(self, name, data):
        path = self._file(f"sounds/{name}", data)
        try:
            SoundBank.from_folder(self.sounds)
        finally:
            path.unlink()

    def _file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    @staticmethod
    def _alarms():
        events = Events(np.array([0, 0]), np.array([1.0, 5.0]), np.array([2.0, 6.0]), np.array([0.7, 0.9]))
        measured = Measured(["a.wav"], ["a.wav"], np.array([3600.0]), events.where([0]), {0.5: events}, "dog")
        config = ModelConfig("uni", 1, 1)
        detector = Detector(config, init_params(config, np.random.default_rng(0)), "dog", np.zeros(64), np.ones(64))
        return alarm_files.figures_of(detector, measured, run="runs/dog", name="eval")[0]

    @staticmethod
    def _robust():
        rates = {"error_rate": 0.5, "error_rate_95": [0.1, 0.9]}
        rates |= {"error_rate_difference": None, "error_rate_difference_95": [None, None]}
        change = {"change": "plain"} | dict.fromkeys(robust_files.COUNTS, 3) | rates
        guard = {"sound": "silence", "rate_hz": 8000, "probability": 0.1, "is_detected": False}
        about = {"label": "dog", "detector": {}, "n_clips": 3, "notes": ["none"]}
        return about | {"changes": [change], "guards": [guard]}

    @staticmethod
    def _card_sounds():
        held = dict.fromkeys(Holding._fields, 3) | {"event_s": 2.0}
        row = {"licence": "CC0", "n_files": 2, "authors": ["ä"], "sources": [], "n_authors": 1, "n_sources": 0}
        rights = {"licences": [row], "texts": ["LICENSE"], "problem": None}
        whole = {"kind": "folder", "version": None, "subsets": {"train": held, "dev": held}, "others": {"cow": 1}}
        yield whole | {"rights": rights}
        yield whole | {"rights": rights | {"problem": "odd"}, "subsets": {"train": None, "dev": None}}

    @staticmethod
    def _figures():
        scored = dict.fromkeys(("n_clips", "n_ref", "n_tp", "n_fp", "n_fn"), 3)
        scored |= {"error_rate": 0.5, "error_rate_95": [0.1, 0.9], "recall": None, "recall_95": [None, None]}
        clip = dict.fromkeys(("n_events", "n_misses", "n_quiet", "n_false_alarms"), 1)
        about = {"data": "/sounds", "thres0": 0.5, "thres1": 0.5, "clip_s": 30.0, "by_clip": clip}
        groups = {"by_ebr_db": {"-6": scored, "+0": scored}, "by_scene": {"park": {}}}
        return scored | about | groups | {"made_of": dict.fromkeys(Holding._fields, 3), "tuned": None}

    def _whole_checkpoint(self, labels):
        rng = np.random.default_rng(0)
        config = ModelConfig("uni", 1, 2, 3, n_classes=len(labels))
        params = init_params(config, rng)
        detector = new_detector(config, params, labels, np.zeros(3), np.ones(3), 0.5)
        adam = Adam()
        adam.update(params, {name: np.ones_like(param) for name, param in params.items()})
        settings = TrainSettings(labels=labels if len(labels) > 1 else ())
        row = {name: 1.0 for name in (*metrics.METRICS, *metrics.class_columns(settings.labels))} | {"epoch": 1}
        position = checkpoint.Position(rng.bit_generator.state, 1, 10)
        state = checkpoint.State(settings, detector, adam, rng, [row], position, dict(params), {"numpy": "2"})
        checkpoint.write_checkpoint(self.run, state)
        return (self.run / checkpoint.NEWEST).read_bytes()


def _sound(form):
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal((4000, 2)), 44100, format=form)
    return file.getvalue()
