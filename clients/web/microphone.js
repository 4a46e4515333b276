// The microphone as pieces of 16-bit samples, at the rate that the device has.

const PIECE_SECONDS = 0.05;
// What browsers do for calls between people takes away from speech what a recogniser can use.
const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
// It plays nothing, yet some browsers open a device for it. Work is done every 50 ms: ten times less waking up.
const QUIET = { sinkId: { type: "none" }, latencyHint: PIECE_SECONDS };

const LOOK_MS = 1000; // between two looks for a device that is gone: not all browsers tell when it is back

export class Microphone {
  // Asks the user. Throws what `explain` explains.
  static async open(deviceId) {
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    const media = await ask(deviceId);
    const context = new AudioContext(QUIET);
    const microphone = new Microphone(deviceId, media, context);
    try {
      await context.audioWorklet.addModule("/web/worklet.js");
      await context.resume();
    } catch (error) {
      microphone.close();
      throw error;
    }
    return microphone;
  }

  constructor(deviceId, media, context) {
    const { sampleRate } = context;
    Object.assign(this, { deviceId, media, context, sampleRate, muted: false, gone: false, closed: false });
  }

  // `onPiece` gets samples and their level, silence while the device is gone: so times stay those of the clock.
  // `onChange` is called when it is gone, when it is back, when the browser pauses it or goes on, and with an error if it
  // may not be used any more.
  listen(onPiece, onChange) {
    this.onChange = onChange;
    this.context.onstatechange = () => {
      if (this.paused) this.context.resume().catch(() => {}); // not during a call: when that ends, this is called again
      onChange();
    };
    this.node = new AudioWorkletNode(this.context, "pieces", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit", // all channels of the device together
      processorOptions: { size: Math.round(this.sampleRate * PIECE_SECONDS) },
    });
    this.node.port.onmessage = ({ data: { samples, level } }) => {
      if (this.muted) samples.fill(0); // time goes on, so that captions keep their places
      onPiece(samples, this.muted ? 0 : level);
    };
    this.take(this.media);
  }

  // A call, a computer that slept: no sound comes, and time stands still.
  get paused() {
    return this.context.state !== "running";
  }

  // Listens to another device from now on; "" is the default one.
  async use(deviceId) {
    this.deviceId = deviceId;
    if (!this.gone) this.lose();
    await this.look();
  }

  close() {
    this.closed = true;
    this.release();
    clearInterval(this.looking);
    if (this.node) this.node.port.onmessage = null;
    this.context.onstatechange = null;
    this.context.close();
  }

  take(media) {
    this.media = media;
    this.source = this.context.createMediaStreamSource(media);
    this.source.connect(this.node);
    media.getAudioTracks()[0].onended = () => this.lose();
  }

  release() {
    this.source?.disconnect();
    for (const track of this.media.getTracks()) {
      track.onended = null;
      track.stop();
    }
  }

  lose() {
    this.release();
    this.gone = true;
    this.looking = setInterval(() => this.look(), LOOK_MS);
    this.onChange();
  }

  // Takes the device up again if it is there. One look at a time: the browser may be asking the user.
  async look() {
    if (this.asking) return;
    this.asking = true;
    const deviceId = this.deviceId;
    const media = await askAgain(deviceId).catch((error) => this.refuse(error));
    this.asking = false;
    if (!media) return;
    if (this.closed || deviceId !== this.deviceId) return media.getTracks()[0].stop();
    clearInterval(this.looking);
    this.gone = false;
    this.take(media);
    this.onChange();
  }

  refuse(error) {
    if (error.name !== "NotAllowedError" || this.closed) return; // the next look may find it
    clearInterval(this.looking);
    this.onChange(error);
  }
}

function ask(deviceId) {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  return navigator.mediaDevices.getUserMedia({ audio: { ...UNTOUCHED, ...device } });
}

// Only if there is something to be had: the browser might ask the user each time.
async function askAgain(deviceId) {
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "audioinput");
  // without a permission they have no names
  const there = devices.some((device) => !deviceId || !device.deviceId || device.deviceId === deviceId);
  return there ? ask(deviceId) : null;
}

export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

export function explain(error) {
  const words = {
    NotAllowedError: "The browser was not allowed to use the microphone. Allow it beside the address, then start again.",
    NotFoundError: "No microphone was found. Plug one in, then start again.",
    OverconstrainedError: "This microphone is gone. Choose another one, then start again.",
    NotReadableError: "The microphone is used by another program, or its driver failed.",
    SecurityError: "Browsers give the microphone only to pages from https:// or from localhost.",
  };
  return words[error.name] ?? `The microphone could not be opened: ${error.message}`;
}
