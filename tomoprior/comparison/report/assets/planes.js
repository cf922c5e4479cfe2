// Slices of volumes as numbers, and numbers as colours.

/** Which axis of a slice runs across, which down, and which it is cut along. */
const PLANES = {
  xy: { across: "x", down: "y", along: "z" },
  zy: { across: "z", down: "y", along: "x" },
  xz: { across: "x", down: "z", along: "y" },
};

/** A slice: `value(i)` of every voxel i in it, row by row. */
function slice(shape, plane, at, value) {
  const stride = { x: 1, y: shape.x, z: shape.x * shape.y };
  const { across, down, along } = PLANES[plane];
  const [nu, nv] = [shape[across], shape[down]];
  const out = new Float32Array(nu * nv);
  for (let v = 0, k = 0; v < nv; v++) {
    let i = at[along] * stride[along] + v * stride[down];
    for (let u = 0; u < nu; u++, k++, i += stride[across]) out[k] = value(i);
  }
  return out;
}

/** The function from a voxel i of an entry to the number that is shown. */
function reading(known, state, entry) {
  const { least, most } = known.grey;
  const step = (most - least) / 255;
  const [a, b] = state.calibrated ? entry.calibration : [1, 0];
  const { values, inferred, response: changes } = entry;
  const whole = (i) => a * (least + values[i] * step) + b;
  const inferredPart = (i) => a * (inferred[i] - 128) * known.shift;
  const response = (i) => a * (changes[i] - 128) * known.reach;
  switch (state.mode) {
    case "values": return whole;
    case "inferred": return inferredPart;
    case "planted": return (i) => whole(i) + response(i);
    case "response": return response;
    case "measured": return (i) => whole(i) - inferredPart(i);
    case "difference": {
      const other = reading(known, { ...state, mode: "values" }, known.entries[state.reference]);
      return (i) => whole(i) - other(i);
    }
    default: throw new Error(`no mode ${state.mode}`);
  }
}

/** 256 colours between stops `[r, g, b]`. */
function ramp(stops) {
  const out = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const t = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(t), stops.length - 2);
    for (let c = 0; c < 3; c++) out[3 * i + c] = stops[k][c] + (t - k) * (stops[k + 1][c] - stops[k][c]);
  }
  return out;
}

const GREY = ramp([[0, 0, 0], [255, 255, 255]]);
/** Blue below zero, red above: they differ with any colour vision. */
const SIGNED = ramp([[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]]);
/** Colour of the standard deviation, drawn over the grey values. */
const OVERLAY = [255, 106, 0];

/** Colours and ends of the scale in use. */
function scale(state) {
  if (["difference", "inferred", "response"].includes(state.mode)) return { colours: SIGNED, low: -state.limit, high: state.limit };
  return { colours: GREY, low: state.low, high: state.high };
}

/** Put numbers on a canvas of their size; `cover` from 0 to 1, if given, lies over them. */
function paint(canvas, numbers, { colours, low, high }, cover) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = image.data;
  const by = 255 / (high - low);
  for (let i = 0, k = 0; i < numbers.length; i++, k += 4) {
    const level = 3 * Math.max(0, Math.min(255, Math.round((numbers[i] - low) * by)));
    const part = cover ? 0.85 * Math.min(1, cover[i]) : 0;
    for (let c = 0; c < 3; c++) pixels[k + c] = colours[level + c] * (1 - part) + OVERLAY[c] * part;
    pixels[k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
