// What one sees and does: microphone and files go to a worker, what it finds is drawn, listed, and offered as text.

const ABOUT = JSON.parse(document.getElementById("detector").textContent);
const $ = (id) => document.getElementById(id);
const N_MELS = ABOUT.config.n_mels, FRAMES_A_SECOND = SAMPLE_RATE / HOP;
const PIECE_S = 10; // of a file, sent at a time
const CSV_HEADER = "filename\tonset\toffset\tevent_label\tprobability\n"; // as minirsed.detect --format csv
const KEPT_S = 3600; // of the picture; older frames are forgotten, events are not

// ---- the worker

const source = [$("twin").textContent, $("worker").textContent].join("\n");
const worker = new Worker(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
worker.onmessage = ({data}) => data.session === sound.session && take(data);
worker.onerror = (event) => trouble(`The detector stopped: ${event.message}`);
worker.postMessage({detector: ABOUT});

// ---- what has been heard

/** Columns of the picture and p_t, as long as KEPT_S. */
class History {
  constructor() {
    Object.assign(this, {first: 0, n_frames: 0, n_settled: 0}); // numbers of frames; `first` is that of levels[0]
    this.levels = new Uint8Array(1024 * N_MELS);
    this.p_t = new Float32Array(1024);
  }

  push(levels, p_t) {
    const n_new = levels.length / N_MELS, most = Math.round(KEPT_S * FRAMES_A_SECOND);
    if (this.n_frames + n_new - this.first > 1.25 * most) this.forget(this.n_frames + n_new - this.first - most);
    const needed = this.n_frames + n_new - this.first;
    if (needed > this.p_t.length) {
      this.levels = concatenate(this.levels, new Uint8Array(Math.max(needed, this.p_t.length) * N_MELS));
      this.p_t = concatenate(this.p_t, new Float32Array(this.levels.length / N_MELS - this.p_t.length));
    }
    this.levels.set(levels, (this.n_frames - this.first) * N_MELS);
    this.p_t.set(p_t, this.n_settled - this.first);
    this.n_frames += n_new;
    this.n_settled += p_t.length;
  }

  forget(n) {
    n = Math.min(n, this.n_settled - this.first);
    this.levels.copyWithin(0, n * N_MELS);
    this.p_t.copyWithin(0, n);
    this.first += n;
  }
}

const nothing = {session: 0, name: "", history: new History(), events: [], none_before_s: 0, live: false, running: false};
let sound = nothing;

function begin(name, sr, live) {
  end();
  sound = {
    session: sound.session + 1, name, sr, live, running: true, history: new History(), events: [], none_before_s: 0, began: new Date(),
    heard_s: 0, busy_s: 0, follow: true,
  };
  worker.postMessage({start: {session: sound.session, sr, live}});
  trouble("");
  list();
}

/** What the worker has made of a piece of the sound. */
function take({levels, frame_probabilities, events, none_before_s, heard_s, busy_s, finished}) {
  sound.history.push(levels, frame_probabilities);
  Object.assign(sound, {heard_s, busy_s, none_before_s});
  sound.events.push(...events);
  if (finished) {
    sound.running = false;
    sound.finished = true;
  }
  if (events.length || finished || wanted().length !== sound.n_listed) list();
  sound.next?.();
  say();
  draw_soon();
}

/** Leave the sound as it is; what is still on its way is taken. */
function end() {
  if (!sound.running) return;
  sound.microphone?.();
  sound.stopped = true;
  sound.next?.();
  if (sound.live) worker.postMessage({session: sound.session, finish: true});
}

// ---- microphone

async function listen() {
  if (!navigator.mediaDevices?.getUserMedia || !window.isSecureContext) {
    trouble(
      "This browser lets a page use the microphone only if it comes from an https address or from this computer's own " +
        "web server. Open a sound file instead, or run “python -m http.server” in the folder of this page and open " +
        "http://localhost:8000.",
    );
    return;
  }
  try {
    const plain = {echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1};
    const stream = await navigator.mediaDevices.getUserMedia({audio: plain}); // the sound as it is
    const context = new AudioContext();
    // a data: address, since from a file Chromium refuses those of blobs here
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent($("worklet").textContent)}`);
    const node = new AudioWorkletNode(context, "microphone", {numberOfOutputs: 0});
    begin("microphone", context.sampleRate, true);
    const {session} = sound;
    node.port.onmessage = ({data}) => worker.postMessage({session, samples: data}, [data.buffer]);
    context.createMediaStreamSource(stream).connect(node);
    stream.getAudioTracks()[0].onended = end;
    sound.microphone = () => {
      stream.getTracks().forEach((track) => track.stop());
      node.port.onmessage = null;
      context.close();
    };
    say();
  } catch (error) {
    const reasons = {
      NotAllowedError: "The microphone was not allowed. Allow it for this page in the browser's address bar, and listen again.",
      NotFoundError: "There is no microphone.",
      NotReadableError: "The microphone is used by another program.",
    };
    trouble(reasons[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
}

// ---- files

/** A file, decoded at SAMPLE_RATE and sent piece by piece, the next when the last has been taken. */
async function open_file(file) {
  begin(file.name, SAMPLE_RATE, false);
  const {session} = sound, mine = sound;
  $("player").src = URL.createObjectURL(file);
  say();
  let y;
  try {
    const context = new OfflineAudioContext(1, 1, SAMPLE_RATE);
    y = downmix(await context.decodeAudioData(await file.arrayBuffer()));
  } catch (error) {
    mine.running = false;
    if (sound === mine) say();
    if (sound === mine) trouble(`${file.name} is no sound that this browser can read.`);
    return;
  }
  if (sound !== mine) return;
  $("player").hidden = false;
  mine.duration_s = y.length / SAMPLE_RATE;
  for (let first = 0; first < y.length && !mine.stopped; first += PIECE_S * SAMPLE_RATE) {
    const samples = y.slice(first, first + PIECE_S * SAMPLE_RATE);
    const taken = new Promise((resolve) => { mine.next = resolve; });
    worker.postMessage({session, samples}, [samples.buffer]);
    await taken;
  }
  worker.postMessage({session, finish: true});
}

/** The mean of the channels; where they cancel each other, the loudest. */
function downmix(buffer) {
  const channels = Array.from({length: buffer.numberOfChannels}, (_, c) => buffer.getChannelData(c));
  if (channels.length === 1) return channels[0];
  const mean = new Float32Array(buffer.length);
  for (const channel of channels) channel.forEach((value, n) => { mean[n] += value / channels.length; });
  const energy = (y) => y.reduce((sum, value) => sum + value * value, 0), energies = channels.map(energy);
  const all = energies.reduce((a, b) => a + b, 0);
  return energy(mean) * channels.length ** 2 < 0.1 * all ? channels[energies.indexOf(Math.max(...energies))] : mean;
}

// ---- words

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

const clock = (s) => `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${String(Math.floor(s) % 60).padStart(2, "0")}`;

/** What is read aloud where it changes, and beside it the time, which is not. */
function say() {
  const {running, live, name, heard_s, busy_s, duration_s} = sound;
  $("listen").disabled = running && live;
  $("stop").disabled = !running;
  const doing = live ? "Listening to the microphone." : `Going through ${name}.`;
  const text = running ? doing : `Heard ${clock(heard_s)} of ${live ? "the microphone" : name}.`;
  if ($("status").textContent !== text) $("status").textContent = text;
  const share = live && heard_s > 5 ? `; it takes ${Math.ceil((100 * busy_s) / heard_s)} % of one core` : "";
  $("clock").textContent = running ? clock(heard_s) + (duration_s ? ` of ${clock(duration_s)}` : "") + share : "";
}

let least = ABOUT.thres0;  // the detector's own, exactly, until the slider is moved
/** Events: candidates that are certain enough, joined and not too short. One that the next may belong to still waits. */
function wanted() {
  const candidates = sound.events.filter((event) => event.probability > least);
  return new Joiner(ABOUT.operating).push(candidates, sound.none_before_s);
}

function at(event) {
  return sound.live ? new Date(sound.began.getTime() + 1000 * event.onset_s).toLocaleTimeString() : clock(event.onset_s);
}

function list() {
  const events = wanted();
  $("threshold-shown").textContent = least < 0.995 ? least.toFixed(2) : `1 − ${(1 - least).toExponential(0)}`;
  sound.n_listed = events.length;
  const n_less = sound.events.filter((event) => event.probability <= least).length, less = n_less ? `; ${n_less} less certain` : "";
  $("counted").textContent = `${events.length || "No"} ${events.length === 1 ? "event" : "events"}${less}.`;
  $("csv").disabled = $("audacity").disabled = !events.length;
  const rows = events.slice(-1000).map((event) => {
    const row = document.createElement("tr"), button = document.createElement("button");
    button.type = "button";
    button.textContent = at(event);
    button.setAttribute("aria-label", `Show the event at ${at(event)}`);
    button.onclick = () => show(event);
    row.insertCell().append(button);
    for (const text of [event.onset_s.toFixed(2), event.offset_s.toFixed(2), event.probability.toFixed(2)]) row.insertCell().textContent = text;
    return row;
  });
  $("events").replaceChildren(...rows.reverse());
}

function show(event) {
  look(Math.round(((event.onset_s + event.offset_s) / 2) * FRAMES_A_SECOND) + Math.round(visible_frames() / 2));
  if (!$("player").hidden && !sound.live) $("player").currentTime = Math.max(0, event.onset_s - 0.5);
}

/** Fields of a list are parted by tabs and lines, which names must not hold. */
const field = (text) => text.replace(/[\t\r\n\u2028\u2029]+/g, " ");

function csv_text() {
  const rows = wanted().map((event) =>
    [field(sound.name), event.onset_s.toFixed(3), event.offset_s.toFixed(3), field(ABOUT.label), event.probability.toFixed(4)].join("\t"),
  );
  return CSV_HEADER + rows.map((row) => `${row}\n`).join("");
}

function audacity_text() {
  const row = (event) => `${event.onset_s.toFixed(6)}\t${event.offset_s.toFixed(6)}\t${field(ABOUT.label)} ${event.probability.toFixed(2)}\n`;
  return wanted().map(row).join("");
}

function download(text, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "text/plain"}));
  link.download = `${field(sound.name).replace(/\.[^.]*$/, "")}${suffix}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// ---- the picture

const canvas = $("picture"), small = document.createElement("canvas");
let is_drawn = true;

function draw_soon() {
  if (is_drawn) requestAnimationFrame(draw);
  is_drawn = false;
}

const visible_frames = () => Math.round(Math.min(30, Math.max(8, canvas.clientWidth / 30)) * FRAMES_A_SECOND);

/** Have the picture end with a frame; with the newest one it runs on. */
function look(frame) {
  const {n_frames, first} = sound.history;
  sound.follow = frame >= n_frames;
  sound.view = Math.max(frame, Math.min(n_frames, first + visible_frames()));
  draw_soon();
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** 256 colours from quiet over middle to loud, each [r, g, b]. */
function palette() {
  const stops = ["quiet", "middle", "loud"].map((name) => colour(name).match(/\w\w/g).map((hex) => parseInt(hex, 16)));
  return Array.from({length: 256}, (_, i) => {
    const place = (i / 255) * 2, stop = Math.min(1, Math.floor(place)), share = place - stop;
    return stops[stop].map((value, k) => value + share * (stops[stop + 1][k] - value));
  });
}

/** The level below which a share of those in sight lie. */
function quantile(counts, share) {
  let left = share * counts.reduce((a, b) => a + b, 0), level = 0;
  while (level < 255 && (left -= counts[level]) > 0) level++;
  return level;
}

function draw_levels(start, n) {
  const {levels, first, n_frames} = sound.history, image = new ImageData(n, N_MELS), counts = new Uint32Array(256);
  const from = Math.max(start, first), to = Math.min(start + n, n_frames), colours = palette();
  for (let k = (from - first) * N_MELS; k < (to - first) * N_MELS; k++) counts[levels[k]]++;
  const low = quantile(counts, 0.1), high = Math.max(low + 24, quantile(counts, 0.995));
  for (let t = from; t < to; t++) {
    for (let m = 0; m < N_MELS; m++) {
      const level = levels[(t - first) * N_MELS + m];
      const [r, g, b] = colours[Math.round(255 * Math.min(1, Math.max(0, (level - low) / (high - low))))];
      const pixel = 4 * ((N_MELS - 1 - m) * n + t - start);
      image.data[pixel] = r;
      image.data[pixel + 1] = g;
      image.data[pixel + 2] = b;
      image.data[pixel + 3] = 255;
    }
  }
  small.width = n;
  small.height = N_MELS;
  small.getContext("2d").putImageData(image, 0, 0);
}

function draw() {
  is_drawn = true;
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d"), n = visible_frames(), {history} = sound;
  if (sound.follow ?? true) sound.view = Math.max(n, history.n_frames);
  sound.n_visible = n;
  const start = sound.view - n, x = (frame) => ((frame - start) * width) / n;
  const top = Math.round(0.66 * height), bottom = height - 18, y = (p) => bottom - p * (bottom - top - 8);
  pen.scale(ratio, ratio);
  pen.fillStyle = colour("quiet");
  pen.fillRect(0, 0, width, top);
  draw_levels(start, n);
  pen.drawImage(small, 0, 0, width, top);
  draw_axis(pen, start, n, x, top, bottom, y, width);
  pen.strokeStyle = colour("probability");
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (let t = Math.max(start, history.first); t < Math.min(start + n, history.n_settled); t++) pen.lineTo(x(t + 0.5), y(history.p_t[t - history.first]));
  pen.stroke();
  pen.strokeStyle = colour("event");
  pen.lineWidth = 2;
  const frame = (s) => (s * SAMPLE_RATE - (WIN - HOP) / 2) / HOP;
  for (const event of wanted()) {
    const left = x(frame(event.onset_s)), right = x(frame(event.offset_s));
    if (right >= 0 && left <= width) pen.strokeRect(left, 1, right - left, bottom - 1);
  }
  const view = $("view");
  Object.assign(view, {min: Math.min(history.first + n, history.n_frames), max: history.n_frames, disabled: history.n_frames <= n});
  view.value = sound.view;
  describe();
}

function draw_axis(pen, start, n, x, top, bottom, y, width) {
  pen.strokeStyle = colour("line");
  pen.fillStyle = colour("soft");
  pen.lineWidth = 1;
  pen.font = "12px system-ui, sans-serif";
  for (const p of [0, ABOUT.thres1, 1]) {
    pen.setLineDash(p === ABOUT.thres1 ? [4, 4] : []);
    pen.beginPath();
    pen.moveTo(0, y(p));
    pen.lineTo(width, y(p));
    pen.stroke();
  }
  pen.setLineDash([]);
  const every_s = n / FRAMES_A_SECOND > 15 ? 5 : 2;
  for (let s = Math.ceil(start / FRAMES_A_SECOND / every_s) * every_s; s < (start + n) / FRAMES_A_SECOND; s += every_s) {
    const left = x(s * FRAMES_A_SECOND);
    pen.fillRect(left, bottom, 1, 4);
    if (left < width - 45) pen.fillText(clock(s), left + 3, bottom + 14);
  }
}

/** The picture in words, for those who do not see it; no more often than `say`. */
function describe() {
  const {history, heard_s = 0} = sound, from = Math.max(history.first, history.n_settled - 215);
  const newest = history.p_t.subarray(from - history.first, history.n_settled - history.first);
  const most = newest.length ? Math.max(...newest).toFixed(2) : "not known";
  const text = `Spectrogram and probability of ${clock(heard_s)} of sound; the largest of the last 5 seconds is ${most}.`;
  if (canvas.getAttribute("aria-label") !== text) canvas.setAttribute("aria-label", text);
}

// ---- hands

$("threshold").value = ABOUT.thres0;
$("listen").onclick = listen;
$("stop").onclick = () => { end(); say(); };
$("file").onchange = (event) => event.target.files.length && open_file(event.target.files[0]);
$("threshold").oninput = () => { least = Number($("threshold").value); list(); draw_soon(); };
$("view").oninput = (event) => look(Number(event.target.value));
$("csv").onclick = () => download(csv_text(), ".csv");
$("audacity").onclick = () => download(audacity_text(), ".txt");
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) open_file(event.dataTransfer.files[0]);
});
addEventListener("resize", () => { // what is in the middle stays there
  if (!(sound.follow ?? true)) look(sound.view + Math.round((visible_frames() - sound.n_visible) / 2));
  draw_soon();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw_soon);
list();
draw_soon();
