"use strict";
// A detector in plain JavaScript, the third twin of minirsed: the classes and functions have the names, and compute what
// the same names do in Python. It knows nothing of the page; a worker runs it. Arrays are flat, rows one after another.

// ---- constants: minirsed/features.py, listening/, recordings/

const SAMPLE_RATE = @@SAMPLE_RATE@@, WIN = @@WIN@@, HOP = @@HOP@@;
const RATE = @@RATE@@; // frames of LFBE in an input
const FORGET = @@FORGET@@, RELATIVE_FLOOR = @@RELATIVE_FLOOR@@;
const EVIDENCE = @@EVIDENCE@@, MOST_A_FRAME = @@MOST_A_FRAME@@;
const WINDOW_FRAMES = @@WINDOW_FRAMES@@, STEP_FRAMES = @@STEP_FRAMES@@, ALIGNMENT = @@ALIGNMENT@@;
const ROUNDING_S = @@ROUNDING_S@@, LONGEST_S = @@LONGEST_S@@;
const GAP_FRAMES = @@GAP_FRAMES@@, STEP = @@STEP@@, DELAY = @@DELAY@@;

// ---- minirsed/activations.py

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

function tanh(x) {
  return 2 / (1 + Math.exp(-2 * x)) - 1; // quicker than Math.tanh, and exact to 1e-16
}

// ---- minirsed/features.py

function hz_to_mel(hz) {
  return hz < 1000 ? (3 * hz) / 200 : 15 + (27 * Math.log(hz / 1000)) / Math.log(6.4);
}

function mel_to_hz(mel) {
  return mel < 15 ? (200 * mel) / 3 : 1000 * 6.4 ** ((mel - 15) / 27);
}

function band_edges_hz(n_mels) {
  const top = hz_to_mel(SAMPLE_RATE / 2);
  return Float64Array.from({length: n_mels + 2}, (_, m) => mel_to_hz((top * m) / (n_mels + 1)));
}

/** Triangles at the bins of the FFT: of each band its first bin and the weights from there on. */
function mel_filter_bank(n_mels, n_fft) {
  const edges = band_edges_hz(n_mels), bank = [];
  for (let m = 0; m < n_mels; m++) {
    const [lower, centre, upper] = edges.slice(m, m + 3), weights = [];
    let first_bin = 0;
    for (let k = 0; k <= n_fft / 2; k++) {
      const hz = (k * SAMPLE_RATE) / n_fft;
      const weight = (Math.min((hz - lower) / (centre - lower), (upper - hz) / (upper - centre)) * 2) / (upper - lower);
      if (weight > 0) {
        first_bin = weights.length ? first_bin : k;
        weights.push(weight);
      }
    }
    bank.push({first_bin, weights: Float64Array.from(weights)});
  }
  return bank;
}

function tables(n_mels) {
  const n_fft = 2 ** Math.ceil(Math.log2(WIN));
  const window = Float64Array.from({length: WIN}, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / WIN));
  const cosine = Float64Array.from({length: n_fft}, (_, k) => Math.cos((2 * Math.PI * k) / n_fft));
  return {n_fft, window, cosine, bank: mel_filter_bank(n_mels, n_fft), spectrum: new Float64Array(n_fft)};
}

/** Power of the bins of n real numbers s, in place; that of bin k comes to lie in s[2 k]. */
function power_spectrum(s, cosine) {
  const n = s.length, half = n / 2, mask = n - 1;
  for (let i = 0, j = 0; i < half; i++) { // numbers with reversed bits change places
    if (i < j) {
      [s[2 * i], s[2 * j]] = [s[2 * j], s[2 * i]];
      [s[2 * i + 1], s[2 * j + 1]] = [s[2 * j + 1], s[2 * i + 1]];
    }
    let bit = half >> 1;
    for (; bit && j & bit; bit >>= 1) j &= ~bit;
    j |= bit;
  }
  for (let size = 2; size <= half; size *= 2) {
    const step = n / size;
    for (let j = 0; j < size / 2; j++) {
      const c = cosine[j * step], minus_s = cosine[(j * step + n / 4) & mask];
      for (let a = 2 * j; a < n; a += 2 * size) {
        const b = a + size;
        const re = s[b] * c - s[b + 1] * minus_s, im = s[b] * minus_s + s[b + 1] * c;
        s[b] = s[a] - re;
        s[b + 1] = s[a + 1] - im;
        s[a] += re;
        s[a + 1] += im;
      }
    }
  }
  s[0] = (s[0] + s[1]) ** 2;
  for (let k = 1; k <= half / 2; k++) { // the spectra of even and odd samples, then their sum
    const a = 2 * k, b = n - a, c = cosine[k], minus_s = cosine[k + n / 4];
    const even_re = 0.5 * (s[a] + s[b]), even_im = 0.5 * (s[a + 1] - s[b + 1]);
    const odd_re = 0.5 * (s[a + 1] + s[b + 1]), odd_im = 0.5 * (s[b] - s[a]);
    const re = odd_re * c - odd_im * minus_s, im = odd_re * minus_s + odd_im * c;
    s[a] = (even_re + re) ** 2 + (even_im + im) ** 2;
    s[b] = (even_re - re) ** 2 + (even_im - im) ** 2;
  }
}

/** (T, n_mels) log filter-bank energies of all whole frames in y. */
function lfbe(y, {n_mels, floor, constants}) {
  const T = Math.max(0, 1 + Math.floor((y.length - WIN) / HOP)), features = new Float32Array(T * n_mels);
  const {window, cosine, bank, spectrum} = constants;
  for (let t = 0; t < T; t++) {
    for (let n = 0; n < WIN; n++) spectrum[n] = window[n] * y[t * HOP + n];
    spectrum.fill(0, WIN);
    power_spectrum(spectrum, cosine);
    for (let m = 0; m < n_mels; m++) {
      const {first_bin, weights} = bank[m];
      let power = 0;
      for (let k = 0; k < weights.length; k++) power += weights[k] * spectrum[2 * (first_bin + k)];
      features[t * n_mels + m] = Math.log(Math.max(power, floor));
    }
  }
  return features;
}

function run_to_seconds(onset_frame, offset_frame) {
  const half = (WIN - HOP) / 2; // an onset lies halfway between the middles of two frames
  return [(onset_frame * HOP + half) / SAMPLE_RATE, (offset_frame * HOP + half) / SAMPLE_RATE];
}

function concatenate(a, b) {
  const both = new a.constructor(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

// ---- data_tools/sound_blocks.py

/** From any rate to SAMPLE_RATE, in pieces: a low-pass of Kaiser's window, its weights by the phase between samples. */
class StreamResampler {
  constructor(sr_in, sr_out = SAMPLE_RATE) {
    const divisor = (a, b) => (b ? divisor(b, a % b) : a);
    this.up = sr_out / divisor(sr_in, sr_out);
    this.down = sr_in / divisor(sr_in, sr_out);
    this.stretch = Math.max(1, sr_in / sr_out); // the lower of the two rates limits the band
    this.half = Math.ceil(48 * this.stretch);
    this.weights = new Map();
    this.rest = new Float32Array(this.half); // silence before the first sample
    this.n_out = 0; // in units of 1 / up of a sample of the input, from rest[half] on
  }

  of_phase(phase) {
    if (!this.weights.has(phase)) {
      const bessel = (x) => { let sum = 1, term = 1; for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / 2 / k) ** 2; return sum; };
      const beta = 10, cutoff = 0.95 / this.stretch, weights = new Float64Array(2 * this.half);
      for (let i = 0; i < weights.length; i++) {
        const t = i - this.half + 1 - phase / this.up, x = Math.PI * cutoff * t, edge = 1 - (t / this.half) ** 2;
        weights[i] = edge <= 0 ? 0 : (x ? Math.sin(x) / x : 1) * cutoff * bessel(beta * Math.sqrt(edge)) / bessel(beta);
      }
      this.weights.set(phase, weights);
    }
    return this.weights.get(phase);
  }

  push(y, last = false) {
    if (this.up === this.down) return y;
    this.rest = concatenate(this.rest, last ? concatenate(y, new Float32Array(this.half)) : y);
    const out = [];
    for (;;) {
      const first = Math.floor(this.n_out / this.up) + 1; // of the samples under the window
      if (first + 2 * this.half > this.rest.length) break;
      const weights = this.of_phase(this.n_out % this.up);
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * this.rest[first + i];
      out.push(sum);
      this.n_out += this.down;
    }
    const n_done = Math.floor(this.n_out / this.up);
    this.rest = this.rest.slice(n_done);
    this.n_out -= n_done * this.up;
    return Float32Array.from(out);
  }
}

// ---- minirsed/listening/inputs.py

function average_pairs(x, width) {
  const T = x.length / width, pooled = new Float64Array(Math.ceil(T / 2) * width);
  for (let t = 0; t < T; t++) {
    const share = (t ^ 1) < T ? 0.5 : 1; // an odd last frame stands alone
    for (let k = 0; k < width; k++) pooled[(t >> 1) * width + k] += share * x[t * width + k];
  }
  return pooled;
}

/** Inputs (T / 2, D) from power (T, D); `past` is [numerator, denominator] of M, times a, and is brought up to date. */
function relative(power, widths, past) {
  const D = widths.length, x = average_pairs(power, D);
  for (let i = 0; i < x.length; i += D) {
    let L = 0;
    for (let m = 0; m < D; m++) L += widths[m] * x[i + m];
    const above = L + past[0], below = 1 + past[1], M = above / below;
    for (let m = 0; m < D; m++) x[i + m] = Math.log(x[i + m] / M + RELATIVE_FLOOR);
    past[0] = FORGET * above;
    past[1] = FORGET * below;
  }
  return x;
}

// ---- minirsed/gru.py, multires.py, attention.py

/** x M + b for all rows of x; M is kept column by column. Two rows by three columns at a time, which is what is quick. */
function projected(x, M, b) {
  const n_columns = b.length, n = M.length / n_columns, T = x.length / n, y = new Float64Array(T * n_columns);
  for (let t = 0; t < T; t += 2) {
    const p = t * n, q = t + 1 < T ? p + n : p, to_p = t * n_columns, to_q = t + 1 < T ? to_p + n_columns : to_p;
    for (let j = 0; j < n_columns; j += 3) {
      const u = j * n, v = u + n, w = v + n;
      let pu = b[j], pv = b[j + 1], pw = b[j + 2], qu = pu, qv = pv, qw = pw;
      for (let i = 0; i < n; i++) {
        const x_p = x[p + i], x_q = x[q + i], M_u = M[u + i], M_v = M[v + i], M_w = M[w + i];
        pu += x_p * M_u;
        pv += x_p * M_v;
        pw += x_p * M_w;
        qu += x_q * M_u;
        qv += x_q * M_v;
        qw += x_q * M_w;
      }
      y[to_p + j] = pu;
      y[to_p + j + 1] = pv;
      y[to_p + j + 2] = pw;
      y[to_q + j] = qu;
      y[to_q + j + 1] = qv;
      y[to_q + j + 2] = qw;
    }
  }
  return y;
}

/** States (T, H) of a layer in one direction; h0 (H,) is the state before, and becomes the last one. */
function gru_forward({W, U, b}, x, h0, reverse = false) {
  const H = h0.length, gates = projected(x, W, b), T = gates.length / (3 * H), h = new Float64Array(T * H);
  const reset = new Float64Array(H), z = new Float64Array(H);
  for (let step = 0; step < T; step++) {
    const t = reverse ? T - 1 - step : step, z_t = 3 * H * t, r_t = z_t + H, c_t = r_t + H;
    for (let j = 0; j < H; j++) {
      const of_z = j * H, of_r = of_z + H * H;
      let a_z = gates[z_t + j], a_r = gates[r_t + j];
      for (let i = 0; i < H; i++) {
        a_z += h0[i] * U[of_z + i];
        a_r += h0[i] * U[of_r + i];
      }
      z[j] = sigmoid(a_z);
      reset[j] = sigmoid(a_r) * h0[j];
    }
    for (let j = 0; j < H; j++) {
      const of_c = (2 * H + j) * H;
      let a_c = gates[c_t + j];
      for (let i = 0; i < H; i++) a_c += reset[i] * U[of_c + i];
      h[t * H + j] = h0[j] = z[j] * h0[j] + (1 - z[j]) * tanh(a_c);
    }
  }
  return h;
}

/** One layer, its directions side by side: (T, D) → (T, K). */
function layer_forward(directions, x, H) {
  const outputs = directions.map((gru, number) => gru_forward(gru, x, new Float64Array(H), number === 1));
  if (outputs.length === 1) return outputs[0];
  const h = new Float64Array(2 * outputs[0].length);
  for (let t = 0; t < outputs[0].length / H; t++) {
    outputs.forEach((own, side) => h.set(own.subarray(t * H, (t + 1) * H), (2 * t + side) * H));
  }
  return h;
}

/** Each frame `rate` times, cut to n_frames. */
function replicate(x, width, rate, n_frames) {
  const y = new Float64Array(n_frames * width);
  for (let t = 0; t < n_frames; t++) {
    const source = Math.floor(t / rate) * width;
    y.set(x.subarray(source, source + width), t * width);
  }
  return y;
}

/** f(X) of one network: (T, D) → (T, K). */
function encoder_forward({layers}, x, {arch, n_units, n_inputs}) {
  const T = x.length / n_inputs, K = layers[0].length * n_units, pooled = [];
  for (const directions of layers) {
    x = layer_forward(directions, x, n_units);
    if (arch === "multires") pooled.push((x = average_pairs(x, K)));
  }
  if (arch !== "multires") return x;
  const h = new Float64Array(T * K);
  pooled.forEach((s, level) => {
    const copies = replicate(s, K, 2 ** (level + 1), T);
    for (let k = 0; k < h.length; k++) h[k] += copies[k];
  });
  return h;
}

/** e_t = wᵀh_t, added to `logits`. */
function add_logits(logits, h, w) {
  for (let t = 0; t < logits.length; t++) {
    let e = 0;
    for (let k = 0; k < w.length; k++) e += w[k] * h[t * w.length + k];
    logits[t] += e;
  }
}

// ---- minirsed/detector.py

class Detector {
  /** @param about what `minirsed.export.page` has written: see `detector_data` there. */
  constructor(about) {
    Object.assign(this, about);
    const {n_mels, n_inputs, n_units, n_layers, arch} = this.config;
    this.features = {n_mels, floor: about.floor, constants: tables(n_mels)};
    const numbers = unpacked(about.weights), n_directions = arch === "uni" ? 1 : 2;
    let first = 0;
    const take = (n) => numbers.subarray(first, (first += n));
    const columns = (n) => { // (n, 3H) → column by column
      const rows = take(n * 3 * n_units), turned = new Float64Array(rows.length);
      for (let i = 0; i < n; i++) for (let j = 0; j < 3 * n_units; j++) turned[j * n + i] = rows[i * 3 * n_units + j];
      return turned;
    };
    this.networks = Array.from({length: about.n_networks}, () => ({
      layers: Array.from({length: n_layers}, (_, layer) =>
        Array.from({length: n_directions}, () => ({
          W: columns(layer ? n_directions * n_units : n_inputs),
          U: columns(n_units),
          b: take(3 * n_units),
        })),
      ),
    }));
    for (const network of this.networks) network.w = take(n_directions * n_units);
  }

  /** Inputs (T / RATE, D) of LFBE (T, n_mels), normalised; `past` as in `relative`. */
  inputs(features, past = [0, 0]) {
    const {n_inputs: D, n_mels, inputs} = this.config, T = features.length / n_mels;
    let x = new Float64Array(T * D);
    for (let t = 0; t < T; t++) {
      for (let m = 0; m < D; m++) {
        const value = features[t * n_mels + m];
        x[t * D + m] = inputs === "relative" ? Math.exp(value) : value;
      }
    }
    if (inputs === "relative") x = relative(x, this.widths, past);
    for (let i = 0; i < x.length; i += D) {
      for (let m = 0; m < D; m++) x[i + m] = (x[i + m] - this.mean[m]) / this.std[m];
    }
    return x;
  }

  /** Frame logits (T,) of LFBE (T, n_mels). */
  logits(features) {
    const x = this.inputs(features), of_inputs = new Float64Array(x.length / this.config.n_inputs);
    for (const network of this.networks) add_logits(of_inputs, encoder_forward(network, x, this.config), network.w);
    return replicate(of_inputs, 1, RATE, features.length / this.config.n_mels);
  }

  /** @param live whether sound arrives as it is made; else it is a recording, and looked at in fewer windows. */
  stream(sr = SAMPLE_RATE, live = true) {
    return new Stream(this, sr, live);
  }
}

/** Base64 of whole numbers of 24 bits, in steps, → Float64Array. */
function unpacked({numbers, step}) {
  const bytes = atob(numbers), byte = (i) => bytes.charCodeAt(i);
  return Float64Array.from({length: bytes.length / 3}, (_, i) => {
    const whole = ((byte(3 * i) | (byte(3 * i + 1) << 8) | (byte(3 * i + 2) << 16)) << 8) >> 8; // with its sign
    return whole * step;
  });
}

// ---- minirsed/listening/operating.py

/** Join events that come in order, and leave out short ones. */
class Joiner {
  constructor({min_event_s, min_gap_s}) {
    Object.assign(this, {least_s: min_event_s - ROUNDING_S, min_gap_s, gap_s: min_gap_s - ROUNDING_S, waiting: null});
  }

  push(events, none_before_s = Infinity) {
    const settled = [];
    for (const event of events) {
      if (this.waiting && this.belongs(event)) {
        const probability = Math.max(this.waiting.probability, event.probability);
        this.waiting = {...this.waiting, offset_s: event.offset_s, probability};
      } else {
        if (this.waiting) settled.push(this.waiting);
        this.waiting = event;
      }
    }
    if (this.waiting && none_before_s - this.waiting.offset_s >= this.gap_s) {
      settled.push(this.waiting);
      this.waiting = null;
    }
    return settled.filter(({onset_s, offset_s}) => offset_s - onset_s >= this.least_s);
  }

  belongs({onset_s, offset_s}) {
    const is_near = onset_s - this.waiting.offset_s < this.gap_s && this.min_gap_s > 0;
    return is_near && offset_s - this.waiting.onset_s <= LONGEST_S;
  }
}

// ---- minirsed/listening/segments.py, recordings/event_finder.py

function logit(p) {
  return Math.min(MOST_A_FRAME, Math.max(-MOST_A_FRAME, Math.log(p) - Math.log1p(-p)));
}

function confidence(evidence) {
  return 1 - 2 ** (-evidence / EVIDENCE);
}

/** p of a set of frames from their logits. */
function attention_probability(frame_logits) {
  const log_p = frame_logits.map((e) => -Math.log1p(Math.exp(-Math.abs(e))) + Math.min(e, 0)), most = Math.max(...log_p);
  let above = 0, below = 0;
  frame_logits.forEach((e, t) => {
    const p = Math.exp(log_p[t] - most);
    above += p * e;
    below += p;
  });
  return sigmoid(above / below);
}

/** The finders tell of every candidate, [onset_frame, offset_frame, p]; what becomes of it is for who hears it: whether
 *  p > thres0, then a Joiner. No candidate to come begins before `pending`. */
class EventFinder {
  constructor(thres1, {context, gap, live}) {
    Object.assign(this, {thres1, context, gap, live, first: 0, decided: 0, waiting: 0, logits: []});
  }

  push(frame_logits) {
    for (const e of frame_logits) this.logits.push(e);
    return this.settle(false);
  }

  finish() {
    return this.settle(true);
  }

  is_active(frame) {
    return sigmoid(this.logits[frame - this.first]) > this.thres1;
  }

  get pending() {
    return this.waiting;
  }

  next(frame, is_active, n) {
    while (frame < n && this.is_active(frame) !== is_active) frame++;
    return frame;
  }

  settle(finished) {
    const n = this.first + this.logits.length, found = [];
    for (;;) {
      const first = (this.waiting = this.next(Math.max(this.waiting, this.decided), true, n)), cut = first + this.context;
      if (first === n) break;
      let [onset, offset, last, run] = [first, first, first, first];
      do { // runs that belong together; the longest is the event
        const stop = this.next(run, false, n);
        last = Math.min(stop, cut);
        if (last - run > offset - onset) [onset, offset] = [run, last];
        run = stop >= cut ? n : this.next(stop, true, n);
      } while (run < n && run < last + this.gap && run < cut);
      const middle = Math.floor((onset + offset + this.context + 1) / 2);
      const end = this.live ? last + this.gap : Math.max(middle, this.context, last);
      if (!finished && n < Math.max(end, last + this.gap)) break;
      this.decided = last;
      found.push([onset, offset, this.probability(first, last, Math.min(end, n))]);
    }
    const n_old = Math.min(n, this.waiting) - this.context - this.first;
    if (n_old > 0) {
      this.logits.splice(0, n_old);
      this.first += n_old;
    }
    return found;
  }

  probability(first, last, end) {
    const wanted = [];
    for (let frame = Math.max(this.first, end - this.context); frame < end; frame++) {
      if ((first <= frame && frame < last) || !this.is_active(frame)) wanted.push(this.logits[frame - this.first]);
    }
    return attention_probability(wanted);
  }
}

class SegmentFinder {
  constructor(thres1, {context, lead, kept}) {
    Object.assign(this, {bias: logit(thres1), context, lead, kept, n_frames: 0, last: 0});
    this.begin();
  }

  begin() {
    Object.assign(this, {total: 0, peak: 0, fading: 0, strength: 0, start: this.n_frames, end: this.n_frames});
  }

  push(frame_logits) {
    const found = [];
    for (const e of frame_logits) {
      if (this.total <= 0 || this.total <= this.peak - EVIDENCE || this.n_frames - this.start >= this.context) {
        found.push(...this.finish());
        if (this.peak > 0) this.last = this.end;
        this.begin();
      }
      const gain = Math.min(MOST_A_FRAME, Math.max(-MOST_A_FRAME, e)) - this.bias;
      this.total += gain;
      this.fading = this.kept * Math.max(0, this.fading) + gain;
      this.strength = Math.max(this.strength, this.fading);
      this.n_frames++;
      if (this.total > this.peak) [this.peak, this.end] = [this.total, this.n_frames];
    }
    return found;
  }

  get pending() {
    return this.first(this.peak > 0 ? this.start : this.n_frames);
  }

  first(frame) {
    return Math.max(this.last, frame - this.lead);
  }

  finish() {
    return this.peak > 0 ? [[this.first(this.start), this.end, confidence(this.strength)]] : [];
  }
}

// ---- minirsed/recordings/windows.py, streaming.py

class FeatureStream {
  constructor(features) {
    Object.assign(this, {features, rest: new Float32Array(0), n_frames: 0});
  }

  push(y) {
    y = concatenate(this.rest, y);
    const features = lfbe(y, this.features), T = features.length / this.features.n_mels;
    this.rest = y.slice(T * HOP);
    this.n_frames += T;
    return features;
  }

  /** The one zero-padded frame of a sound shorter than a window. */
  finish() {
    if (this.n_frames || !this.rest.length) return new Float32Array(0);
    return this.push(new Float32Array(WIN - this.rest.length));
  }
}

/** uni: each frame once, as soon as it is complete. */
class CarriedState {
  constructor(detector) {
    const {n_layers, n_units} = detector.config;
    Object.assign(this, {detector, rest: new Float32Array(0), past: [0, 0]});
    this.states = detector.networks.map(() => Array.from({length: n_layers}, () => new Float64Array(n_units)));
  }

  push(features) {
    features = concatenate(this.rest, features);
    const {n_mels} = this.detector.config, n = Math.floor(features.length / n_mels / RATE) * RATE * n_mels;
    this.rest = features.slice(n);
    return this.run(features.slice(0, n));
  }

  finish() {
    return this.run(this.rest);
  }

  run(features) {
    const {n_mels, n_inputs} = this.detector.config, x = this.detector.inputs(features, this.past);
    const of_inputs = new Float64Array(x.length / n_inputs);
    this.detector.networks.forEach(({layers, w}, number) => {
      let h = x;
      layers.forEach(([gru], layer) => { h = gru_forward(gru, h, this.states[number][layer]); });
      add_logits(of_inputs, h, w);
    });
    return replicate(of_inputs, 1, RATE, features.length / n_mels);
  }
}

/** bi, multires, live: runs over the last 30 s, `DELAY` frames late. */
class SlidingWindow {
  constructor(detector) {
    Object.assign(this, {detector, n_mels: detector.config.n_mels, step: STEP, window: new Float32Array(0)});
    this.n_new = this.n_unsettled = 0;
  }

  push(features) {
    let settled = new Float64Array(0);
    while (features.length) {
      const n = Math.min(features.length / this.n_mels, Math.max(1, this.step - this.n_new));
      this.window = concatenate(this.window, features.subarray(0, n * this.n_mels));
      features = features.subarray(n * this.n_mels);
      this.n_new += n;
      this.n_unsettled += n;
      if (this.n_new >= this.step) {
        this.n_new = 0;
        this.window = this.window.slice(-Math.floor(WINDOW_FRAMES / STEP) * STEP * this.n_mels);
        settled = concatenate(settled, this.settle(this.n_unsettled - DELAY));
      }
    }
    return settled;
  }

  finish() {
    return this.settle(this.n_unsettled);
  }

  settle(n) {
    if (n <= 0) return new Float64Array(0);
    const logits = this.detector.logits(this.window), first = logits.length - this.n_unsettled;
    this.n_unsettled -= n;
    return logits.slice(first, first + n);
  }
}

/** bi, multires, of a recording: windows of 30 s that overlap by half; a frame is taken from where it is in the middle. */
class Windows {
  constructor(detector) {
    Object.assign(this, {detector, n_mels: detector.config.n_mels, kept: new Float32Array(0), previous: null});
    this.first = this.start = this.taken = 0; // `kept` begins at frame `first`, the next window at `start`
  }

  push(features) {
    this.kept = concatenate(this.kept, features);
    let settled = new Float64Array(0);
    while (this.first + this.kept.length / this.n_mels >= this.start + WINDOW_FRAMES + ALIGNMENT) {
      settled = concatenate(settled, this.window(this.start, WINDOW_FRAMES));
      this.start += STEP_FRAMES;
    }
    this.forget();
    return settled;
  }

  finish() {
    const n = this.kept.length / this.n_mels;
    return n ? concatenate(this.window(this.first, n), this.stitch(Infinity)) : new Float64Array(0);
  }

  /** Frames before the last window, should nothing follow, are not wanted again. */
  forget() {
    const n = this.first + this.kept.length / this.n_mels;
    const last = Math.floor(Math.max(0, n - WINDOW_FRAMES) / ALIGNMENT) * ALIGNMENT;
    this.kept = this.kept.slice((last - this.first) * this.n_mels);
    this.first = last;
  }

  /** The logits that the window before this one settles. */
  window(start, n) {
    const first = (start - this.first) * this.n_mels;
    const logits = this.detector.logits(this.kept.subarray(first, first + n * this.n_mels));
    const settled = this.previous
      ? this.stitch(Math.floor((start + this.previous.start + this.previous.logits.length) / 2))
      : new Float64Array(0);
    this.previous = {start, logits};
    return settled;
  }

  stitch(seam) {
    const {start, logits} = this.previous, piece = logits.slice(this.taken - start, seam - start);
    this.taken = seam;
    return piece;
  }
}

/** Detection in sound that comes in pieces: `push` and `finish` give {features, frame_probabilities, events,
 *  none_before_s}. `events` are candidates; none to come begins before `none_before_s`. */
class Stream {
  constructor(detector, sr, live) {
    const {arch, rule, lead, kept} = detector.config, Model = arch === "uni" ? CarriedState : live ? SlidingWindow : Windows;
    const options = {context: WINDOW_FRAMES, gap: GAP_FRAMES, live, lead, kept};
    this.finder = new (rule === "strongest" ? SegmentFinder : EventFinder)(detector.thres1, options);
    this.resampler = new StreamResampler(sr);
    this.features = new FeatureStream(detector.features);
    this.model = new Model(detector);
  }

  push(y) {
    return this.advance(y, false);
  }

  finish() {
    return this.advance(new Float32Array(0), true);
  }

  advance(y, last) {
    let features = this.features.push(this.resampler.push(y, last));
    if (last) features = concatenate(features, this.features.finish());
    let logits = this.model.push(features);
    if (last) logits = concatenate(logits, this.model.finish());
    const runs = [...this.finder.push(logits), ...(last ? this.finder.finish() : [])];
    const events = runs.map(([onset_frame, offset_frame, probability]) => {
      const [onset_s, offset_s] = run_to_seconds(onset_frame, offset_frame);
      return {onset_s, offset_s, probability};
    });
    const none_before_s = last ? Infinity : run_to_seconds(this.finder.pending, this.finder.pending)[0];
    return {features, frame_probabilities: Float32Array.from(logits, sigmoid), events, none_before_s};
  }
}
