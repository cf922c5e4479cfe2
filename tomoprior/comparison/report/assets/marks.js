// Draw marks over a slice: cross-hair, planted objects, scale bar. Lengths are in voxels of the full volume.

/** The modes that show the volumes with planted objects. */
const PLANTED = ["planted", "response"];

/** 1, 2 or 5 times a power of ten, at most `length`. */
function round(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return [5, 2, 1].map((m) => m * power).find((m) => m <= length * 1.0001);
}

/** A number as text with this many significant digits. */
function digits(value, count = 3) {
  return String(Number(Number(value).toPrecision(count))).replace("-", "−");
}

/** A canvas's context in which a unit is a CSS pixel, cleared, with two passes for lines seen on black and white. */
function blank(canvas, width, height) {
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * dense));
  canvas.height = Math.max(1, Math.round(height * dense));
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  return context;
}

/** Draw `path(context)` twice: dark and wide below, bright and thin above. */
function outlined(context, colour, path) {
  for (const [style, width] of [["rgba(0,0,0,.55)", 3], [colour, 1.4]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    path(context);
    context.stroke();
  }
}

/** Draw all marks over one slice. */
function mark(canvas, known, state, plane) {
  const { across, down, along } = PLANES[plane];
  const { width, height, left, top } = placeOf(known, state, plane);
  const zoom = state.fit * state.zoom; // CSS pixels per voxel
  const middle = (axis) => (state.at[axis] + 0.5) * known.step[axis];
  const context = blank(canvas, width, height);
  if (state.cross) cross(context, left + middle(across) * zoom, top + middle(down) * zoom, width, height);
  if (state.circles && PLANTED.includes(state.mode)) {
    circles(context, known.planted.controls, [4, 4], "#cfd8e3");
    circles(context, known.planted.centers, [], "#ffd23f");
  }
  if (plane === "xy" || state.planes === plane) bar(context, known, width, height, zoom);

  function circles(context, places, dash, colour) {
    const order = { z: 0, y: 1, x: 2 };
    context.setLineDash(dash);
    for (const place of places) {
      const off = place[order[along]] + 0.5 - middle(along);
      const square = known.planted.radius ** 2 - off ** 2;
      // half a voxel of the slice on either side belongs to it
      if (Math.abs(off) > known.planted.radius + known.step[along] / 2) continue;
      const radius = Math.max(Math.sqrt(Math.max(square, 1)) * zoom, 3);
      const [u, v] = [[across, left], [down, top]].map(([axis, first]) => first + (place[order[axis]] + 0.5) * zoom);
      outlined(context, colour, (c) => c.arc(u, v, radius + 1.5, 0, 2 * Math.PI));
    }
    context.setLineDash([]);
  }
}

function cross(context, u, v, width, height) {
  context.strokeStyle = "rgba(0, 229, 255, .6)";
  context.lineWidth = 1;
  context.beginPath();
  const gap = 7;
  for (const [a, b, c, d] of [[0, v, u - gap, v], [u + gap, v, width, v], [u, 0, u, v - gap], [u, v + gap, u, height]]) {
    context.moveTo(a, b);
    context.lineTo(c, d);
  }
  context.stroke();
}

function bar(context, known, width, height, zoom) {
  const length = round((0.36 * width) / zoom * known.voxel);
  const pixels = (length / known.voxel) * zoom;
  const [left, bottom] = [8, height - 8];
  context.fillStyle = "rgba(0,0,0,.55)";
  const text = `${digits(length)} ${known.unit}`;
  context.font = "600 11px system-ui, sans-serif";
  context.fillRect(left - 4, bottom - 19, Math.max(pixels, context.measureText(text).width) + 8, 23);
  context.fillStyle = "#fff";
  context.fillRect(left, bottom - 4, pixels, 4);
  context.fillText(text, left, bottom - 8);
}
