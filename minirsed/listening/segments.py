"""Frame probabilities → events, as many as there are: the segments whose evidence adds up.

Data flow: **segments** → detector, `minirsed.recordings.event_finder`. The paper's rule (Sec. 2.1, `minirsed.decode`)
asks a p of the whole clip whether there is an event, and takes the longest run of active frames for it. Outside, a
little in every frame drowns a short event, and a weak long run elsewhere beats a strong short one. Here evidence
decides both *whether* and *where*:

    e_t = logit p_t, limited to ±10;   b = logit thres1;   C_t = max(0, C_{t−1}) + e_t − b

C is Page's cumulative sum (1954). A segment begins where C rises above 0 and ends at C's peak, which is certain once C
has fallen back to 0, or by `EVIDENCE` below the peak. Were the frames independent given the segment, exp(Σ e_t) would
be the odds of "an event, here" against "none": b is what each active frame costs beforehand, and EVIDENCE what any
event costs. So a segment of peak S has

    p = 1 − 2^(−S / EVIDENCE),        and is an event if p > thres0; at thres0 = ½, if S > EVIDENCE.

*How long does evidence count?* For ever, so a minute of faint doubt outweighs a sure cry. A detector that was given a
memory (`minirsed.listening.operating`) has S from a sum that fades, by 1/e in `memory_s`, and no more than 9 nats for
each of the frames in it; where a segment begins and ends stays as it is:

    F_t = r max(0, F_{t−1}) + e_t − b,   r = exp(−hop / memory_s),   S = max F_t of the segment;   at r = 1, F is C

*When.* In noise the beginning of a sound drowns, and C rises late, hardly ever early. So what is reported begins `lead`
frames before C rises, or at the end of the segment before: 0.2 s in detectors of the preset quick, and a cut-out event
has its attack.

In a clip, which holds one event at most, the strongest segment counts. p is a scale to put a threshold on, not a
calibrated probability: frames are anything but independent.
"""

import numpy as np

from minirsed.features import HOP_S

EVIDENCE = 20.0  # nats in frames of 23 ms: a quarter of a second of p_t = 0.95
MOST_A_FRAME = 10.0  # nats: at p_t = 1 − 5e−5, where float32 still tells probabilities apart
STRONGEST = 0.73  # thres1 of this rule: b = 1, nearly


def logit(probability):
    """Ln p/(1 − p) in float64, limited to ±`MOST_A_FRAME`."""
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(p) - np.log1p(-p), -MOST_A_FRAME, MOST_A_FRAME)


def confidence(evidence):
    """P of a segment from its evidence S ≥ 0, a number or an array."""
    return 1 - np.exp2(-np.asarray(evidence, np.float64) / EVIDENCE)[()]


def retention(memory_s):
    """What of its evidence a frame still has at the next one, r: 1 for a memory of 0, which is one without end."""
    return float(np.exp(-HOP_S / memory_s)) if memory_s else 1.0


def strongest_segments(frame_probabilities, thres1=STRONGEST, lead=0, memory_s=0.0):
    """Find the strongest segment of each clip.

    Parameters
    ----------
    frame_probabilities : (N, T) array_like in [0, 1]
    thres1 : float
        Frames above it add evidence; limited like p_t.
    lead : int
        Frames that are reported before a segment.
    memory_s : float
        Seconds in which evidence fades; 0: it does not.

    Returns
    -------
    probability : (N,) float64
        0 where no frame is above `thres1`.
    onset_frame, offset_frame : (N,) int64
        The segment covers onset_frame ≤ t < offset_frame; 0, 0 where there is none. Of equals the first.
    """
    gain = logit(frame_probabilities) - logit(thres1)
    found = [_strongest(clip, lead, retention(memory_s)) for clip in gain]
    best, onset, offset = (
        np.array(part, dtype) for part, dtype in zip(zip(*found, strict=True), (float, int, int), strict=True)
    )
    return confidence(best), onset, offset


def _strongest(gain, lead, kept):
    """Evidence, onset and offset frame of the strongest segment of e_t − b (T,): 0, 0, 0 where there is none.

    Between segments C is at or below 0, and only a frame that adds evidence begins one: the others are passed over.
    """
    best, end, last, frames = (0.0, 0, 0), 0, 0, gain.tolist()
    for start in np.flatnonzero(gain > 0).tolist():
        if start < end:
            continue
        total = peak = fading = strength = 0.0
        first = max(last, start - lead)
        for t in range(start, len(frames)):
            total += frames[t]
            fading = kept * max(0.0, fading) + frames[t]
            strength, end = max(strength, fading), t + 1
            if total > peak:
                peak, last = total, end
            if total <= 0 or total <= peak - EVIDENCE:
                break
        if strength > best[0]:
            best = strength, first, last
    return best


def strongest_segment(frame_probabilities, thres0=0.5, thres1=STRONGEST, lead=0, memory_s=0.0):
    """The event of one clip with p_t (T,): its p, and its (onset_frame, offset_frame) or, if p ≤ thres0, None."""
    probability, *run = (part[0].item() for part in strongest_segments([frame_probabilities], thres1, lead, memory_s))
    return probability, run if probability > thres0 and run[0] < run[1] else None
