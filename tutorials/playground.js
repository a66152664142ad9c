// The interactive page of the tutorials. The first half is mathematics, checked against Python's numbers in a browser by
// tests/test_playground.py; the second half draws it. `DATA` is written into the page by tutorials/playground.py.
"use strict";

const sigmoid = x => 0.5 * Math.tanh(0.5 * x) + 0.5;
const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sum = values => values.reduce((total, value) => total + value, 0);
const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));

// Frame logits of a clip → attention a_t, clip logit e, and g_t = ∂e/∂e_t (notebook 5).
function attend(logits) {
  const logP = logits.map(x => -softplus(-x)), largest = Math.max(...logP);
  const scaled = logP.map(x => Math.exp(x - largest)), total = sum(scaled);
  const a = scaled.map(x => x / total), e = sum(a.map((x, t) => x * logits[t]));
  return {a, e, g: a.map((x, t) => x * (1 + sigmoid(-logits[t]) * (logits[t] - e)))};
}

// Weights of the frame loss, as in notebook 5; labels are 0 or 1.
function frameWeights(kind, labels) {
  const T = labels.length, first = labels.indexOf(1), last = labels.lastIndexOf(1);
  if (kind === "all") return labels.map(() => 1 / T);
  if (kind === "balanced") return labels.map(y => (y ? 0.5 / DATA.share : 0.5 / (1 - DATA.share)) / T);
  if (kind !== "near" || first < 0) return labels.map(() => 0);
  const from = Math.max(first - DATA.margin, 0), to = Math.min(last + DATA.margin, T - 1);
  return labels.map((_, t) => (t >= from && t <= to ? 1 / (to - from + 1) : 0));
}

// δe_t: all that the encoder hears of a loss.
function delta(loss, logits, labels) {
  const {e, g} = attend(logits), weights = frameWeights(loss.frames, labels), y = labels.includes(1) ? 1 : 0;
  return logits.map((x, t) => loss.clip * (sigmoid(e) - y) * g[t] + weights[t] * (sigmoid(x) - labels[t]));
}

// Loss of a positive clip whose event frames have the logit u and all others v, and its downhill direction.
function surface(u, v, alpha) {
  const {T, event, near} = DATA.surface, inside = event * sigmoid(u), outside = (T - event) * sigmoid(v);
  const share = inside / (inside + outside), e = share * u + (1 - share) * v, de = sigmoid(e) - 1;
  const weight = event / (event + near);
  return {
    e,
    loss: softplus(-e) + alpha * (weight * softplus(-u) + (1 - weight) * softplus(v)),
    du: de * share * (1 + sigmoid(-u) * (u - e)) + alpha * weight * (sigmoid(u) - 1),
    dv: de * (1 - share) * (1 + sigmoid(-v) * (v - e)) + alpha * (1 - weight) * sigmoid(v),
  };
}

// One GRU unit with two inputs (notebook 3): bias of the gate, pull of both signals, weight of "begin" in the candidate.
function latch(bias, pull, candidate, signals) {
  const states = [], gates = [];
  let h = 0;
  for (const [begin, over] of signals) {
    const z = sigmoid(bias + pull * (begin + over));
    h = z * h + (1 - z) * Math.tanh(candidate * begin);
    gates.push(z);
    states.push(h);
  }
  return {gates, states};
}

function latchSignals() {
  const signals = Array.from({length: 200}, () => [0, 0]);
  signals[40][0] = signals[140][0] = signals[110][1] = 1;
  return signals;
}

// Logits of a clip by loss and epoch; they were stored in steps of DATA.step.
function logitsOf(clip, loss, epoch) {
  const all = clip.decoded || (clip.decoded = new Int8Array(bytes(clip.logits).buffer));
  const start = (loss * DATA.epochs + epoch) * DATA.frames;
  return Array.from(all.subarray(start, start + DATA.frames), x => x * DATA.step);
}

const secondsOf = t => t * DATA.hop + DATA.first;
const labelsOf = clip => Array.from({length: DATA.frames}, (_, t) => +(secondsOf(t) >= clip.onset && secondsOf(t) < clip.offset));

// ---- drawing -------------------------------------------------------------------------------------------------------

const $ = id => document.getElementById(id);
const COLORS = {p: "#d95f02", a: "#7570b3", d: "#e7298a", truth: "#1b9e77"};

function line(context, values, color, low, high, fill) {
  const {width, height} = context.canvas, y = value => height - (value - low) / (high - low) * height;
  context.beginPath();
  values.forEach((value, i) => context.lineTo((i + 0.5) / values.length * width, y(value)));
  context.strokeStyle = context.fillStyle = color;
  context.lineWidth = 1.5;
  if (fill) {
    context.lineTo(width, y(0));
    context.lineTo(0, y(0));
    context.globalAlpha = 0.35;
    context.fill();
    context.globalAlpha = 1;
  } else context.stroke();
}

function drawSpectrogram(clip) {
  const canvas = $("spectrogram"), image = new ImageData(DATA.frames, 64), values = bytes(clip.spectrogram);
  values.forEach((value, i) => {
    const place = 4 * ((63 - i % 64) * DATA.frames + Math.floor(i / 64));
    image.data.set([Math.min(255, value * 1.6), Math.max(0, value * 1.6 - 150), 90 + 0.3 * value, 255], place);
  });
  canvas.width = DATA.frames;
  canvas.height = 64;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

let pointed = null;  // frame under the pointer

function drawClip() {
  const clip = DATA.clips[$("clip").value], loss = DATA.losses[$("loss").value], epoch = +$("epoch").value;
  const logits = logitsOf(clip, +$("loss").value, epoch), labels = labelsOf(clip), {a, e} = attend(logits);
  const d = delta(loss, logits, labels), canvas = $("curves"), context = canvas.getContext("2d");
  const largestD = Math.max(...d.map(Math.abs), 1e-9), largestA = Math.max(...a);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (labels.includes(1)) {
    context.fillStyle = COLORS.truth + "33";
    const left = labels.indexOf(1) / DATA.frames, right = (labels.lastIndexOf(1) + 1) / DATA.frames;
    context.fillRect(left * canvas.width, 0, (right - left) * canvas.width, canvas.height);
  }
  line(context, a.map(x => x / largestA), COLORS.a, -1.05, 1.05, true);
  line(context, logits.map(sigmoid), COLORS.p, -1.05, 1.05);
  line(context, d.map(x => -x / largestD), COLORS.d, -1.05, 1.05);
  const sound = $("sound"), heard = sound.duration ? sound.currentTime / sound.duration * DATA.frames : 0;
  const rest = Math.floor((Math.max(labels.indexOf(1), 0) + Math.max(labels.lastIndexOf(1), 0)) / 2);  // the cry's middle
  const at = pointed !== null ? pointed : heard || rest;
  context.fillStyle = "#000";
  context.fillRect(at / DATA.frames * canvas.width, 0, 1, canvas.height);
  $("numbers").textContent = `after epoch ${epoch}: p = ${sigmoid(e).toFixed(3)}, largest a = ${largestA.toFixed(4)}, ` +
    `largest |δ| = ${largestD.toExponential(1)}`;
  drawReach(at);
}

function drawReach(at) {
  const canvas = $("reach"), context = canvas.getContext("2d"), {rows, columns, decades} = DATA.reach;
  const row = Math.min(rows - 1, Math.floor(at / DATA.frames * rows));
  const values = Array.from(bytes(DATA.reach.map).subarray(row * columns, (row + 1) * columns), x => x / 255);
  context.clearRect(0, 0, canvas.width, canvas.height);
  line(context, values, COLORS.p, 0, 1.05, true);
  $("reaching").textContent = `|∂eₜ/∂xₛ| for t = ${secondsOf(at).toFixed(2)} s, over s; ${decades} powers of ten from bottom to top`;
}

function drawSurface(point, track) {
  const canvas = $("surface"), context = canvas.getContext("2d"), n = 120, alpha = alphaNow();
  const range = i => -7 + 14 * i / n, cell = canvas.width / n;
  const says = (i, j) => surface(range(j + 0.5), range(i + 0.5), alpha).e > 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      const {loss} = surface(range(j + 0.5), range(i + 0.5), alpha), here = says(i, j);
      const grey = Math.max(0, Math.min(255, 140 + 60 * Math.log10(loss)));
      context.fillStyle = here !== says(i + 1, j) || here !== says(i, j + 1) ? COLORS.truth : `rgb(${grey}, ${grey}, ${grey})`;
      context.fillRect(i * cell, canvas.height - (j + 1) * cell, cell + 1, cell + 1);
    }
  const place = ([u, v]) => [(v + 7) / 14 * canvas.width, canvas.height - (u + 7) / 14 * canvas.height];
  context.beginPath();
  track.forEach(each => context.lineTo(...place(each)));
  context.strokeStyle = COLORS.p;
  context.lineWidth = 3;
  context.stroke();
  context.beginPath();
  context.arc(...place(point), 7, 0, 7);
  context.fillStyle = COLORS.p;
  context.fill();
  const {loss, e} = surface(...point, alpha);
  $("surfaceNumbers").textContent = `u = ${point[0].toFixed(2)}, v = ${point[1].toFixed(2)}, α = ${alpha.toFixed(2)}: ` +
    `loss ${loss.toFixed(3)}, p = ${sigmoid(e).toFixed(3)}`;
}

const alphaNow = () => 10 ** +$("alpha").value;

// 400 steps downhill from a point; the steps have one length, so that flat places are crossed, too.
function roll(point, alpha) {
  const track = [point];
  for (let i = 0; i < 400; i++) {
    const [u, v] = track[i], {du, dv} = surface(u, v, alpha), size = Math.hypot(du, dv);
    if (size < 1e-4 || Math.abs(u) > 7 || Math.abs(v) > 7) break;
    track.push([u - 0.03 * du / size, v - 0.03 * dv / size]);
  }
  return track;
}

function drawLatch() {
  const bias = +$("bias").value, pull = +$("pull").value, candidate = +$("candidate").value;
  const {gates, states} = latch(bias, pull, candidate, latchSignals());
  const canvas = $("latchCurves"), context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  latchSignals().forEach(([begin, over], t) => {
    context.fillStyle = begin ? COLORS.truth : COLORS.d;
    if (begin || over) context.fillRect(t / 200 * canvas.width, 0, 3, canvas.height);
  });
  line(context, gates, COLORS.a, -0.1, 1.1);
  line(context, states, "#000", -0.1, 1.1);
  $("latchNumbers").textContent = `b_z = ${bias}, pull ${pull}, candidate tanh(${candidate} · begin): ` +
    `held ${(100 * states[105] / states[45]).toFixed(0)} % after sixty frames`;
}

function start() {
  DATA.clips.forEach((clip, i) => $("clip").add(new Option(clip.title, i)));
  DATA.losses.forEach((loss, i) => $("loss").add(new Option(loss.name, i)));
  $("epoch").max = $("epoch").value = DATA.epochs - 1;
  const changeClip = () => {
    const clip = DATA.clips[$("clip").value];
    $("sound").hidden = !clip.sound;
    $("sound").src = clip.sound ? "data:audio/wav;base64," + clip.sound : "";
    drawSpectrogram(clip);
    drawClip();
  };
  $("clip").onchange = changeClip;
  $("loss").onchange = $("epoch").oninput = drawClip;
  for (const id of ["spectrogram", "curves"]) {
    $(id).onpointermove = event => {
      pointed = Math.floor(event.offsetX / $(id).clientWidth * DATA.frames);
      drawClip();
    };
    $(id).onpointerleave = () => { pointed = null; drawClip(); };
  }
  const follow = () => { drawClip(); if (!$("sound").paused) requestAnimationFrame(follow); };
  $("sound").onplay = follow;
  let point = [0, 0];
  const moveTo = event => {
    const size = $("surface").clientWidth;
    point = [7 - 14 * event.offsetY / size, -7 + 14 * event.offsetX / size];
    drawSurface(point, roll(point, alphaNow()));
  };
  $("surface").onpointerdown = event => { $("surface").setPointerCapture(event.pointerId); moveTo(event); };
  $("surface").onpointermove = event => { if (event.buttons) moveTo(event); };
  $("alpha").oninput = () => drawSurface(point, roll(point, alphaNow()));
  for (const id of ["bias", "pull", "candidate"]) $(id).oninput = drawLatch;
  changeClip();
  drawSurface(point, roll(point, alphaNow()));
  drawLatch();
}

if (document.getElementById("curves")) start();
