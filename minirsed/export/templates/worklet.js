// Of the audio thread: samples of the microphone in pieces of a tenth of a second or less.

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(4096);
    this.n = 0;
  }

  process([channels]) {
    if (channels.length) {
      this.piece.set(channels[0], this.n);
      this.n += channels[0].length;
      if (this.n + channels[0].length > this.piece.length) {
        this.port.postMessage(this.piece.slice(0, this.n));
        this.n = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
