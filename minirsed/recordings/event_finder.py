"""Frame logits of a long recording → its events, as many as there are (after the paper's Sec. 2.1).

Data flow: windows, streaming → **event_finder**. `minirsed.decode` is the paper's rule for a clip of 30 s, which
holds one event at most. Here is what becomes of it where events may be many, a few seconds or hours apart:

*Where.* Runs of frames with p_t > thres1 are candidates. Runs less than `gap` frames apart belong to one candidate,
which begins and ends with the longest of them, as in the paper.

*Whether.* A candidate is an event if p > thres0 for the 30 s around it. The paper's p needs nothing but the frame
logits e_t = wᵀh_t:

    p = σ(wᵀ Σ_t a_t h_t) = σ(Σ_t p_t e_t / Σ_t p_t)

so it can be computed for any set of frames: here for the 30 s without the active frames of other candidates. A second
event in the same half minute then neither helps nor harms: a blip is not carried over the threshold by a loud
neighbour. With a single candidate in 30 s, p is the paper's.

A detector of the head `frames` has no attention: a candidate's p is that of its likeliest frame (`FrameFinder`).
"""

from typing import NamedTuple

import numpy as np

from minirsed.activations import sigmoid
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME, confidence, logit, retention, strongest_segments


class FoundRun(NamedTuple):
    """An event in frames, onset_frame ≤ t < offset_frame, and its p."""

    onset_frame: int
    offset_frame: int
    probability: float


def attention_probability(frame_logits):
    """Compute p of a set of frames from their logits (n,), n ≥ 1: σ(Σ p_t e_t / Σ p_t), finite however small p_t is."""
    e = np.asarray(frame_logits, np.float64)
    log_p = -np.logaddexp(0.0, -e)
    p = np.exp(log_p - log_p.max())
    return float(sigmoid(p @ e / p.sum()))


class EventFinder:
    """Find events in frame logits that come in pieces; how they are cut into pieces does not matter.

    Parameters
    ----------
    thres0, thres1 : float
        Thresholds of the candidate's p and of its frames.
    context : int
        Length of the context in frames: p is computed over it.
    gap : int ≥ 1
        Inactive frames that end a candidate.
    live : bool
        False: the context has the candidate in its middle, as far as the recording's ends allow. True: it ends `gap`
        frames after the candidate's last active one, so that nobody waits for what comes later.

    A candidate longer than the context is cut into parts of that length, each an event or none by itself.
    """

    def __init__(self, thres0, thres1, *, context, gap, live=False):
        self.thres0, self.thres1, self.context, self.gap, self.live = thres0, thres1, context, gap, live
        self.first, self.decided = 0, 0  # frame number of logits[0]; all candidates before `decided` are settled
        self.pending = 0  # first frame of what is not settled: no run to come begins before it
        self.logits = np.zeros(0, np.float32)

    def push(self, frame_logits):
        """Take the next (n,) logits; a list of `FoundRun` that have become certain, in order."""
        self.logits = np.concatenate([self.logits, np.asarray(frame_logits, np.float32)])
        return self._settle(finished=False)

    def finish(self):
        """Nothing follows: the list of the last `FoundRun`."""
        return self._settle(finished=True)

    def probability(self):
        """P of the last `context` frames, as if they were a clip; NaN before the first frame."""
        return attention_probability(self.logits[-self.context :]) if len(self.logits) else float("nan")

    def _settle(self, finished):
        n, found = self.first + len(self.logits), []
        active = sigmoid(self.logits) > self.thres1
        waiting = n  # first frame that is still undecided
        for runs, last in self._candidates(active):
            longest = max(runs, key=lambda run: run[1] - run[0])  # the first of equals
            end = self._context_end(longest, last)
            if not finished and n < max(end, last + self.gap):
                waiting = runs[0][0]
                break
            probability = self._probability(active, runs[0][0], last, min(end, n))
            self.decided = last
            if probability > self.thres0:
                found.append(FoundRun(*longest, probability))
        self.pending = waiting
        keep = waiting - self.context
        if keep > self.first:
            self.logits, self.first = self.logits[keep - self.first :].copy(), keep
        return found

    def _candidates(self, active):
        """Undecided candidates: their runs of active frames [(start, stop), …] and where they end."""
        edges = np.diff(np.concatenate([[0], active.view(np.int8), [0]]))
        starts, stops = (self.first + np.flatnonzero(edges == edge) for edge in (1, -1))
        runs = [(max(int(a), self.decided), int(b)) for a, b in zip(starts, stops, strict=True) if b > self.decided]
        while runs:
            n_own, cut = 1, runs[0][0] + self.context
            while n_own < len(runs) and runs[n_own][0] < min(runs[n_own - 1][1] + self.gap, cut):
                n_own += 1
            own, runs = runs[:n_own], runs[n_own:]
            if own[-1][1] > cut:  # reported in parts
                runs = [(cut, own[-1][1]), *runs]
                own[-1] = own[-1][0], cut
            yield own, own[-1][1]

    def _context_end(self, longest, last):
        """Frame after the context of a candidate."""
        if self.live:
            return last + self.gap
        return max((longest[0] + longest[1] + self.context + 1) // 2, self.context, last)

    def _probability(self, active, first, last, end):
        """Compute p of the context that ends before frame `end`, without the active frames outside [first, last)."""
        frames = np.arange(max(self.first, end - self.context), end)
        own = (frames >= first) & (frames < last)
        wanted = frames[own | ~active[frames - self.first]]
        return attention_probability(self.logits[wanted - self.first])


class FrameFinder(EventFinder):
    """The same for the head `frames` (`minirsed.rivals.frames`), in smoothed frame logits.

    p of a candidate is that of its likeliest frame, as p of a clip is, and nothing around it matters.
    """

    def probability(self):
        """P of the last `context` frames, as if they were a clip; NaN before the first frame."""
        return float(sigmoid(self.logits[-self.context :].max())) if len(self.logits) else float("nan")

    def _context_end(self, longest, last):
        return last

    def _probability(self, active, first, last, end):
        return float(sigmoid(self.logits[first - self.first : last - self.first].max()))


class SegmentFinder:
    """Find events in frame logits that come in pieces; how they are cut into pieces does not matter.

    By the rule of `minirsed.listening.segments`; the methods are those of `EventFinder`.

    Parameters
    ----------
    thres0, thres1 : float
        A segment is an event if its p > thres0; frames with p_t > thres1 add evidence.
    context : int
        Frames of the sound whose p `probability` tells; a segment longer than that is reported in parts.
    lead : int
        Frames that are reported before a segment.
    memory_s : float
        Seconds in which evidence fades; 0: it does not.
    """

    def __init__(self, thres0, thres1, *, context, lead=0, memory_s=0.0):
        self.thres0, self.bias, self.context, self.lead = thres0, float(logit(thres1)), context, lead
        self.memory_s, self.kept = memory_s, retention(memory_s)
        self.n_frames, self.last, self.recent = 0, 0, np.zeros(0)  # last: where the segment before has ended
        self._begin(0)

    def push(self, frame_logits):
        """Take the next (n,) logits; a list of `FoundRun` that have become certain, in order."""
        evidence = np.clip(np.asarray(frame_logits, np.float64), -MOST_A_FRAME, MOST_A_FRAME)
        self.recent = np.concatenate([self.recent, evidence])[-self.context :]
        found = []
        for gain in (evidence - self.bias).tolist():
            if self.total <= 0 or self.total <= self.peak - EVIDENCE or self.n_frames - self.start >= self.context:
                found += self._ended()
                self.last = self.end if self.peak > 0 else self.last
                self._begin(self.n_frames)
            self.total += gain
            self.fading = self.kept * max(0.0, self.fading) + gain
            self.strength = max(self.strength, self.fading)
            self.n_frames += 1
            if self.total > self.peak:
                self.peak, self.end = self.total, self.n_frames
        return found

    @property
    def pending(self):
        """First frame of the segment that has not ended: no run to come begins before it."""
        return self._first(self.start if self.peak > 0 else self.n_frames)

    def finish(self):
        """Nothing follows: the list of the last `FoundRun`."""
        return self._ended()

    def probability(self):
        """P of the last `context` frames, as if they were a clip; NaN before the first frame."""
        if not len(self.recent):
            return float("nan")
        return float(strongest_segments(sigmoid(self.recent)[None], sigmoid(self.bias), memory_s=self.memory_s)[0][0])

    def _begin(self, frame):
        self.total, self.peak, self.fading, self.strength = 0.0, 0.0, 0.0, 0.0
        self.start, self.end = frame, frame

    def _first(self, frame):
        return max(self.last, frame - self.lead)

    def _ended(self):
        probability = float(confidence(self.strength))
        return [FoundRun(self._first(self.start), self.end, probability)] if probability > self.thres0 else []
