// The microphone as pieces of 16-bit samples, at the rate that the device has.

const PIECE_SECONDS = 0.05;
// What browsers do for calls between people takes away from speech what a recogniser can use.
const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
// It plays nothing, yet some browsers open a device for it. Work is done every 50 ms: ten times less waking up.
const QUIET = { sinkId: { type: "none" }, latencyHint: PIECE_SECONDS };

export class Microphone {
  // Asks the user. Throws what `explain` explains.
  static async open(deviceId) {
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    const device = deviceId ? { deviceId: { exact: deviceId } } : {};
    const media = await navigator.mediaDevices.getUserMedia({ audio: { ...UNTOUCHED, ...device } });
    const context = new AudioContext(QUIET);
    const microphone = new Microphone(media, context);
    try {
      await context.audioWorklet.addModule("/web/worklet.js");
      await context.resume();
    } catch (error) {
      microphone.close();
      throw error;
    }
    return microphone;
  }

  constructor(media, context) {
    Object.assign(this, { media, context, muted: false, sampleRate: context.sampleRate });
  }

  // `onPiece` gets samples and their level; `onEnd` is called when the device is gone.
  listen(onPiece, onEnd) {
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
    this.media.getAudioTracks()[0].onended = onEnd;
    this.context.createMediaStreamSource(this.media).connect(this.node);
  }

  close() {
    if (this.node) this.node.port.onmessage = null;
    for (const track of this.media.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.context.close();
  }
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
