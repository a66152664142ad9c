"""What the card says: facts → sections of paragraphs, lists, tables and commands. `markdown` and the report show them.

Texts are plain, whatever names of sounds are in them: who shows them escapes them.
"""

import dataclasses
from typing import NamedTuple

from data_tools.console import counted
from data_tools.inventory import FEW, Holding
from minirsed import __version__
from minirsed.alarms.choice import THRES1, operation, too_sure
from minirsed.alarms.poisson import hours_text
from minirsed.console.options import probability_text
from minirsed.features import HOP_S
from minirsed.listening.operating import NAMES
from minirsed.rivals.encoders import ENCODERS
from minirsed.rivals.frames import SMOOTHING_FRAMES
from minirsed.run.settings import PRESETS, complete, option_name, value_text
from minirsed.several.detector import views_of

NEAR = 0.10  # error rate by which a change may be worse and still count as about as good
NARROW_HZ = 32000
NO_SCENES = {"unknown", "background", "recordings"}  # what sounds have for a scene that are in no folder of one
NOT_IN_HOURS = "False alarms an hour: not measured on recordings, so how often it is wrong in an hour is not known."


class Points(NamedTuple):
    """A list."""

    texts: list


class Table(NamedTuple):
    """Rows of text."""

    columns: tuple
    rows: list


class Command(NamedTuple):
    """What one types."""

    text: str


def title(facts):
    """Heading of the card."""
    return f"Model card: {', '.join(facts.settings.classes)}"


def sections(facts):
    """The card.

    Parameters
    ----------
    facts : minirsed.card.facts.Facts

    Returns
    -------
    dict
        Heading → list of str (a paragraph), `Points`, `Table` or `Command`.
    """
    detector = facts.detector
    labels = [view.label for view in views_of(detector)]
    sounds = f"one sound, {labels[0]}" if len(labels) == 1 else f"{len(labels)} sounds, {', '.join(labels)}"
    what = (
        f"A detector of {sounds}: it says whether {'the' if len(labels) == 1 else 'each'} sound is there, and from "
        "when to when. "
        f"Minirsed {__version__} wrote this card from the files of the run folder, which is called RUN below."
    )
    made = {
        "What it is": [what],
        "What it was trained on": list(training(facts)),
        "How it was trained": [settings_line(facts), *rivals(facts.settings)],
        f"How well it finds the {'sound' if len(labels) == 1 else 'sounds'}": list(scores(facts)),
        "False alarms": list(alarms(facts)),
        "Thresholds": list(thresholds(facts)),
        "Other recorders and rooms": list(changes(facts)),
        "What it was not tried on": [Points(list(untried(facts)))],
    }
    return made | ({"What could not be read": [Points(facts.notes)]} if facts.notes else {})


# ---- what it was trained on


def training(facts):
    """Sounds, their number, and whose they are."""
    s, sounds = facts.settings, facts.sounds
    fold = f", fold {s.fold} as dev" if s.fold else ""
    if s.data == "builtin":
        version = f" (version {sounds['version']})" if sounds else ""
        yield f"The built-in sounds of minirsed{version}{fold}. They are computed, not recorded, and free of rights."
    elif sounds and sounds["kind"] == "tut2017":
        yield (
            f"TUT Rare Sound Events 2017 in {s.data}{fold}. Its backgrounds may be used for academic research only; "
            "each event has a licence of its own, named beside it."
        )
    else:
        yield f"The sounds in {s.data}{fold}."
    if not sounds:
        yield "How many there were was not written down by the version that trained it."
        return
    rows = []
    for subset, held in sounds["subsets"].items():
        if held is None:
            yield f"The mixtures of {subset} came ready-made."
            continue
        rows.append(
            (subset, held["n_events"], held["n_event_recordings"], f"{held['event_s'] / 60:.1f} min")
            + (held["n_backgrounds"], held["n_background_recordings"], f"{held['background_s'] / 3600:.2f} h")
        )
    of_one = f" ({s.label})" if len(s.classes) == 1 else ""
    columns = ("subset", f"events{of_one}", "recordings of them", "length", "background pieces")
    if rows:
        yield Table((*columns, "recordings of them", "length"), rows)
    train = sounds["subsets"]["train"]
    not_it = [f"{counted(n, 'event')} of class {label}" for label, n in sounds["others"].items()]
    not_it += [counted(train["n_negatives"], "negative")] if train and train.get("n_negatives") else []
    not_it += [counted(sounds["everyday"], "everyday sound")] if sounds.get("everyday") else []
    if not_it:
        yield f"Mixed in as sounds that are {_not_it(s)}: {', '.join(not_it)}."
    if s.init_from:
        yield f"It started from the weights of {s.init_from}, and so has also learnt from that one's sounds."
    yield from rights(sounds["rights"])


def _not_it(settings):
    """What is said of sounds that are not to be found."""
    return "not it" if len(settings.classes) == 1 else "none of them"


def rights(found):
    """Licences and authors, as far as the sound folder says."""
    if found is None:
        return
    if found["problem"]:
        yield f"Licences are not known: {found['problem']}."
    elif not found["licences"]:
        yield "Licences are not known: the sound folder has no manifest.csv that gives them."
    else:
        rows = [
            (row["licence"] or "not given", row["n_files"], _first(row["authors"], row["n_authors"]))
            + (_first(row["sources"], row["n_sources"]),)
            for row in found["licences"]
        ]
        yield "Licences of the training sounds, by the manifest.csv of the sound folder, which names each author:"
        yield Table(("licence", "files", "authors", "sources"), rows)
    if found["texts"]:
        yield f"The sound folder also has {', '.join(found['texts'])}."


def _first(names, n):
    return "; ".join(names) + (f"; and {n - len(names)} more" if n > len(names) else "") or "not given"


def settings_line(facts):
    """Settings in a line: size, epochs, and what differs from the preset that is nearest."""
    s = facts.settings
    new = ", each of them new," if s.mixing == "spectra" or s.redraw else ""
    best = f"; epoch {facts.epoch['epoch']:.0f} was kept ({s.keep})" if facts.epoch else ""
    given = {"label": s.label, "data": s.data, "fold": s.fold, "arch": s.arch}
    differing = {}
    for preset, values in PRESETS.items():
        base = complete(values, given)
        differing[preset] = [
            f"{option_name(name)} {value_text(value)}"
            for name, value in dataclasses.asdict(s).items()
            if getattr(base, name) != value and name != "labels"
        ]
    preset = min(differing, key=lambda name: len(differing[name]))
    but = f" with {' '.join(differing[preset])}" if differing[preset] else ""
    return (
        f"{s.network}, {counted(s.epochs, 'epoch')} of {s.clips} clips{new} with "
        f"events at {', '.join(map(value_text, s.ebr_db))} dB relative to the background{best}; preset {preset}{but}."
    )


def rivals(s):
    """Whose network and decision these are, where they are not the paper's."""
    if ENCODERS[s.arch].origin:
        yield f"{s.arch} is {ENCODERS[s.arch].origin}."
    if s.head == "frames":
        yield (
            "It was trained on frames alone: p_t is smoothed by a running median over "
            f"{SMOOTHING_FRAMES * HOP_S:.2f} s, and p is the largest of them."
        )


# ---- how good it is


def scores(facts):
    """Error rate and recall by EBR on the mixtures that were scored; of several classes, those of each."""
    if facts.average:
        yield from scores_of_several(facts)
        return
    if not facts.figures:
        if facts.epoch and facts.epoch["dev_error_rate"] is not None:
            f1 = facts.epoch["dev_f1"]
            rates = f"error rate {facts.epoch['dev_error_rate']:.2f}, F1 {'undefined' if f1 is None else f'{f1:.2f}'}"
            rates += " in the average of the classes" if facts.settings.labels else ""
            new = {"thres0": 0.5, "thres1": THRES1[facts.detector.config.rule][0]} | dict.fromkeys(NAMES, 0.0)
            new["memory_s"] = facts.settings.memory
            at = _at(facts, new)
            yield f"On {facts.settings.dev_clips} dev mixtures{at}: {rates}. Other mixtures have not been scored:"
        else:
            yield "It has not been scored:"
        yield Command("python -m minirsed.evaluate RUN")
        return
    yield (
        "On mixtures of 30 s, each with one event or none, by event-to-background ratio (EBR). A hit is an onset "
        "within 0.5 s, recall is the share of events that are hit, and the error rate (ER) is the number of misses and "
        "false alarms divided by that of events. In brackets: 95 % intervals over mixtures."
    )
    for subset, figures in facts.figures.items():
        yield f"{subset}: {drawn(facts, figures)}{_at(facts, figures)}."
    rows = []
    keys = dict.fromkeys(key for figures in facts.figures.values() for key in figures["by_ebr_db"])
    for key in [None, *keys]:
        row = ["all" if key is None else f"{'0' if key == '+0' else key} dB" if key[-1:].isdigit() else key]
        for figures in facts.figures.values():
            group = figures if key is None else figures["by_ebr_db"].get(key)
            row += [_rate(group, "error_rate"), _rate(group, "recall")]
        rows.append(tuple(row))
    columns = [f"{name}, {subset}" for subset in facts.figures for name in ("ER", "recall")]
    yield Table(("EBR", *columns), rows)


def scores_of_several(facts):
    """Error rate and recall of each class, and the average."""
    yield (
        "On mixtures of 30 s, in which each class is there or not, whatever the others do. A hit is an onset within "
        "0.5 s, recall is the share of events that are hit, and the error rate (ER) is the number of misses and false "
        "alarms divided by that of events. In brackets: 95 % intervals over mixtures."
    )
    rows = []
    for subset, found in facts.average.items():
        then = {label: _at(own, own.figures[subset]) for label, own in facts.classes.items() if subset in own.figures}
        alike = len(set(then.values())) == 1
        yield f"{subset}: {drawn(facts, found)}{then.popitem()[1] if alike else ''}."
        yield from (f"{label}, {subset}{text}." for label, text in then.items() if text and not alike)
    for label, own in facts.classes.items():
        groups = [own.figures.get(subset) for subset in facts.average]
        rows.append((label, *(_rate(group, name) for group in groups for name in ("error_rate", "recall"))))
    averages = (text for found in facts.average.values() for text in (_rate(found["average"], "error_rate"), ""))
    columns = [f"{name}, {subset}" for subset in facts.average for name in ("ER", "recall")]
    yield Table(("class", *columns), [*rows, ("average", *averages)])
    for subset, found in facts.average.items():
        yield f"Which sound was taken for which, {subset}: {taken_for(found['confusions'])}."


def taken_for(found):
    """What `minirsed.analysis.confusion` has found, in words: detected events that lie on those of another class."""
    labels = found["labels"]
    wrong = [
        f"{counted(n, 'event')} of {true} for {label}"
        for true, row in zip(labels, found["taken_for"], strict=True)
        for label, n in zip(labels, row, strict=True)
        if n and label != true
    ]
    return ", ".join(wrong) or "none for another"


def drawn(facts, figures):
    """Of how many mixtures, of what."""
    made_of = figures["made_of"]
    held = {name: made_of[name] for name in Holding._fields if name in made_of} if made_of else None
    sounds = figures.get("data", "")
    other = f" of other sounds, {sounds}" if sounds and sounds != facts.settings.data else ""
    return f"{figures['n_clips']} mixtures{other}" + (f", drawn from {Holding(**held)}" if held else "")


def _at(facts, figures):
    """With which thresholds, shortest event and smallest gap, if the detector has others by now.

    Figures name those that they depend on: a gap is none of mixtures, and earlier versions named thresholds alone.
    """
    every = [{"thres0": view.thres0, "thres1": view.thres1} | vars(view.operating) for view in views_of(facts.detector)]
    own = {name: every[0][name] for name in ("thres0", "thres1", *NAMES)}
    then = {"memory_s": 0.0} | {name: figures[name] for name in own if name in figures}
    if all(of_class[name] == value for of_class in every for name, value in then.items()):
        return ""
    settings = own | dict.fromkeys(NAMES, 0.0) | then
    return f", with the settings that it had then: {operation(settings)}"


def _rate(group, name):
    """`0.06 (0.01 … 0.13)`."""
    if group is None or group[name] is None:
        return "–"
    low, high = group[f"{name}_95"]
    return f"{group[name]:.2f}" + ("" if None in (low, high) else f" ({low:.2f} … {high:.2f})")


def alarms(facts):
    """False alarms an hour on recordings; without any, what is known of clips. Of several classes, of each."""
    if facts.classes:
        yield from alarms_of_several(facts)
        return
    for name, found in facts.alarms.items():
        of = "recordings that were given" if name == "recordings" else f"the recordings of {name}"
        size = f"{counted(found['n_recordings'], 'recording')}, {hours_text(found['hours'])}"
        yield (
            f"On {size} ({of}){_at(facts, found)}: "
            f"{found['in_words']}. Of {counted(found['n_events'], 'event')} {found['n_hits']} were hit; "
            f"{counted(found['n_misplaced'], 'alarm')} lay in or near an event, but not at its onset."
        )
        yield from (f"{note[:1].upper()}{note[1:]}." for note in found["notes"])
    if not facts.alarms:
        yield NOT_IN_HOURS
    for subset, figures in facts.figures.items():
        clip = figures["by_clip"]
        if clip["n_quiet"]:
            yield (
                f"In {clip['n_false_alarms']} of {clip['n_quiet']} {subset} mixtures without the sound, of "
                f"{figures['clip_s']:.0f} s each, it found one. A background may occur in several of them."
            )


def alarms_of_several(facts):
    """The same of each class: a table of mixtures, a sentence for each measurement in hours."""
    for label, own in facts.classes.items():
        yield from (f"{label}: {text}" for text in alarms(dataclasses.replace(own, figures={})) if text != NOT_IN_HOURS)
    if not any(own.alarms for own in facts.classes.values()):
        yield NOT_IN_HOURS
    subsets = [subset for subset in facts.average if all(subset in own.figures for own in facts.classes.values())]
    if subsets:
        yield (
            "How many of the mixtures of 30 s that are without the sound have a false alarm of it. Some of them have "
            "others of the sounds, and a background may occur in several."
        )
        clips = {label: [own.figures[subset]["by_clip"] for subset in subsets] for label, own in facts.classes.items()}
        rows = [(c, *(f"{clip['n_false_alarms']} of {clip['n_quiet']}" for clip in own)) for c, own in clips.items()]
        yield Table(("class", *subsets), rows)


def thresholds(facts):
    """The thresholds of each class, and how they were chosen."""
    views = views_of(facts.detector)
    alike = len({tuple(thresholds_of_class(view, "")) for view in views}) == 1
    for view in views[:1] if alike else views:
        of_class = " of any of them" if alike else f" of {view.label}"
        yield from thresholds_of_class(view, of_class if len(views) > 1 else "")
    if any(view.description().get("operating", {}).get("chosen") for view in views):
        return
    yield "They are those that training gives every detector by this rule, and were chosen on no sound."
    for figures in facts.figures.values():
        tuned = figures["tuned"]
        if tuned and (tuned["thres0"], tuned["thres1"]) != (facts.detector.thres0, facts.detector.thres1):
            yield (
                f"The lowest error rate on dev mixtures is at {tuned['thres0']:g} and {tuned['thres1']:g}, which are "
                "not in use."
            )
            return


def thresholds_of_class(detector, of_class):
    """Those of a detector of one class, and how they were chosen, if they were."""
    operating = detector.description().get("operating", {})
    more = [f"events of at least {operating['min_event_s']:g} s"] if operating.get("min_event_s") else []
    more += [f"joined over gaps below {operating['min_gap_s']:g} s"] if operating.get("min_gap_s") else []
    more += [f"evidence fades in {operating['memory_s']:g} s"] if operating.get("memory_s") else []
    yield (
        f"An event{of_class} needs p above {probability_text(detector.thres0)}, and its frames count from p_t above "
        f"{detector.thres1:.4g} on{''.join(f'; {text}' for text in more)}."
    )
    chosen = operating.get("chosen")
    if chosen:
        weaker = "mixtures of 30 s, which are weaker evidence than recordings"
        on = "recordings" if chosen["chosen_on"] == "recordings" else weaker
        yield (
            f"They were chosen for at most {chosen['alarms_per_hour']:g} false alarms an hour, on "
            f"{hours_text(chosen['hours'])} of {on} ({chosen['source']}), with "
            f"{counted(chosen['n_false_alarms'], 'false alarm')} there and {chosen['n_misses']} of "
            f"{chosen['n_events']} events missed. In as many other hours of the same kind "
            f"{chosen['expected_per_hour']:.2g} an hour are to be expected."
        )
        if chosen.get("at_one"):
            yield f"{too_sure(chosen)[0].upper()}{too_sure(chosen)[1:]}. So it cannot keep that promise."
        if counts := chosen.get("left_out"):
            yield (
                f"Chosen in the same way without a recording, and judged on it, they gave "
                f"{counted(counts['n_false_alarms'], 'false alarm')} and missed {counts['n_misses']}."
            )


def changes(facts):
    """What another level, rate or place does to the error rate."""
    if not facts.robust:
        yield "Not measured:"
        yield Command("python -m minirsed.evaluate RUN --robust")
    for subset, robust in facts.robust.items():
        plain, *others = robust["changes"]
        average, sound = ("average ", "one of the sounds") if facts.classes else ("", "the sound")
        others = [row for row in others if row["error_rate_difference"] is not None]
        near = [row["change"] for row in others if row["error_rate_difference"] <= NEAR]
        worse = sorted((row for row in others if row["change"] not in near), key=lambda row: -row["error_rate"])
        yield (
            f"The same {counted(robust['n_clips'], f'{subset} mixture')} as another recorder might have taken them, "
            f"and with events at other speeds; as they are, their {average}error rate is {_rate(plain, 'error_rate')}."
        )
        points = [f"No more than {NEAR:g} worse: {', '.join(near) or 'none'}."]
        points += [f"{row['change']}: error rate {_rate(row, 'error_rate')}{_of_each(row)}." for row in worse]
        heard = [f"{row['sound']} at {row['rate_hz'] / 1000:g} kHz" for row in robust["guards"] if row["is_detected"]]
        noises = counted(len(robust["guards"]), "noise") + " or silence of 30 s"
        points.append(f"Of {noises} it took {', '.join(heard) if heard else 'none'} for {sound}.")
        yield Points(points + [f"{note}." for note in robust["notes"]])


def _of_each(change):
    """Error rate of each class, in words; of one class nothing."""
    own = [f"{label} {rate:.2f}" for label, rate in change.get("classes", {}).items() if rate is not None]
    return f", {', '.join(own)}" if own else ""


# ---- what is missing


def untried(facts):
    """What the files do not speak of, and what the settings leave out; one sentence each."""
    s, sounds = facts.settings, facts.sounds
    each = [facts, *facts.classes.values()]
    if s.data == "builtin":
        yield "Real recordings: every sound it learnt from and was scored on is computed."
    if "eval" not in facts.figures | facts.average:
        yield "Recordings that had no part in its making: it was not scored on evaluation mixtures."
    few = list(_few(facts))
    if few:
        yield f"Many recordings: {'; '.join(few)}. A score on so few says little about others."
    if not any(own.alarms for own in each):
        yield "Hours of sound: recordings as they are, with few events or none."
    if not facts.robust:
        yield "Other levels, microphones, sample rates, rooms and file formats than those of its sounds, and hum."
    if facts.detector.config.inputs == "lfbe":
        yield f"Sound of less than {NARROW_HZ} Hz: it expects all bands, and may take empty ones for an event."
    if sounds and not sounds["others"] and not (sounds["subsets"]["train"] or {}).get("n_negatives"):
        yield f"Sounds that resemble {' or '.join(s.classes)}: none were mixed in as sounds that are {_not_it(s)}."
    yield f"Events fainter than {min(s.ebr_db):g} dB or louder than {max(s.ebr_db):g} dB relative to the background."
    scored = [figures for own in each for figures in own.figures.values()]
    scenes = sorted({scene for figures in scored for scene in figures["by_scene"]} - NO_SCENES)
    if scenes:
        yield f"Other places than these: {', '.join(scenes)}."


def _few(facts):
    """Subsets with few recordings."""
    held = {}
    if facts.sounds:
        held |= {subset: found for subset, found in facts.sounds["subsets"].items() if found}
    scored = facts.figures | facts.average
    held |= {subset: figures["made_of"] for subset, figures in scored.items() if figures["made_of"]}
    for subset, found in held.items():
        for what, name in (("events", "n_event_recordings"), ("backgrounds", "n_background_recordings")):
            if found[name] < FEW:
                yield f"{counted(found[name], 'recording')} of {what} in {subset}"
