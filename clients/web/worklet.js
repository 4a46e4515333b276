// Runs on the audio thread: gathers what comes 128 samples at a time into pieces of 16-bit samples.

const SILENCE = new Float32Array(128);

class Pieces extends AudioWorkletProcessor {
  constructor({ processorOptions: { size } }) {
    super();
    this.size = size;
    this.begin();
  }

  begin() {
    this.samples = new Int16Array(this.size);
    this.filled = 0;
    this.power = 0;
  }

  process([[input = SILENCE]]) { // none: the device is gone, and is waited for
    for (let at = 0; at < input.length; at++) {
      const value = input[at];
      this.samples[this.filled++] = Math.round(Math.max(-1, Math.min(1, value)) * 32767);
      this.power += value * value;
      if (this.filled === this.size) this.hand();
    }
    return true;
  }

  hand() {
    const level = Math.sqrt(this.power / this.size); // root mean square, 0..1
    this.port.postMessage({ samples: this.samples, level }, [this.samples.buffer]);
    this.begin();
  }
}

registerProcessor("pieces", Pieces);
