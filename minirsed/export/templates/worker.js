// Behind detector.js in a worker: sound comes in, features, probabilities and events go out. The page never waits.

let detector, stream, session, sr, live, heard_s, busy_s;

onmessage = ({data}) => {
  const began = performance.now();
  if (data.detector) detector = new Detector(data.detector);
  if (data.start) {
    ({session, sr, live} = data.start);
    stream = detector.stream(sr, live);
    heard_s = busy_s = 0;
  }
  if (data.session !== session || !stream) return; // of a sound that has been left
  if (data.samples) heard_s += data.samples.length / sr;
  const {features, ...found} = data.finish ? stream.finish() : stream.push(data.samples);
  const took_s = (performance.now() - began) / 1000;
  busy_s += took_s;
  if (live && found.frame_probabilities.length && stream.model.step) keep_up(took_s);
  const levels = Uint8Array.from(features, (x) => Math.min(255, Math.max(0, 8 * (x + 25)))); // of ln P, for the picture
  postMessage({session, levels, ...found, heard_s, busy_s, finished: Boolean(data.finish)});
};

/** Where a look at the last 30 s takes more than half of the time until the next, it looks less often. */
function keep_up(took_s) {
  const {model} = stream;
  if (took_s > (0.5 * model.step * HOP) / SAMPLE_RATE && model.step < 8 * STEP) model.step *= 2;
}
