// Zoom and pan: which part of a slice its box shows. The same part in all volumes.

const MOST_ZOOM = 40;

/** `value` between `low` and `high`. */
function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

/** CSS pixels of a whole axis at the present zoom. */
function extent(known, state, axis) {
  return known.shape[axis] * known.step[axis] * state.fit * state.zoom;
}

/** The box of a plane in CSS pixels. A single plane's box grows with the zoom, so that a thin slice becomes readable. */
function boxOf(known, state, plane) {
  const { across, down } = PLANES[plane];
  const [width, height] = [across, down].map((axis) => extent(known, { ...state, zoom: 1 }, axis));
  if (state.planes === "all") return { width, height };
  return { width, height: Math.min(height * state.zoom, Math.max(height, 0.75 * width)) };
}

/** Where the first voxel of an axis lies, in CSS pixels from the start of a box that is `room` long. */
function offset(known, state, axis, room) {
  const whole = extent(known, state, axis);
  return whole <= room ? (room - whole) / 2 : clamp(room / 2 - state.middle[axis] * whole, room - whole, 0);
}

/** Offsets of a plane across and down, with its box. */
function placeOf(known, state, plane) {
  const box = boxOf(known, state, plane);
  const { across, down } = PLANES[plane];
  return { ...box, left: offset(known, state, across, box.width), top: offset(known, state, down, box.height) };
}

/** The state's `zoom` and `middle` after a zoom by `factor` that keeps the point (u, v) of a plane's box where it is. */
function zoomed(known, state, plane, factor, u, v) {
  const zoom = clamp(state.zoom * factor, 1, MOST_ZOOM);
  const [before, next] = [placeOf(known, state, plane), { ...state, zoom }];
  const box = boxOf(known, next, plane);
  const middle = { ...state.middle };
  const { across, down } = PLANES[plane];
  for (const [axis, at, first, room] of [[across, u, before.left, box.width], [down, v, before.top, box.height]]) {
    const part = (at - first) / extent(known, state, axis);
    middle[axis] = within(known, next, axis, room, part + (room / 2 - at) / extent(known, next, axis));
  }
  return { zoom, middle };
}

/** The state's `middle` after the picture of a plane has moved by (u, v) pixels. */
function moved(known, state, plane, u, v) {
  const box = boxOf(known, state, plane);
  const middle = { ...state.middle };
  const { across, down } = PLANES[plane];
  for (const [axis, by, room] of [[across, u, box.width], [down, v, box.height]]) {
    middle[axis] = within(known, state, axis, room, middle[axis] - by / extent(known, state, axis));
  }
  return { middle };
}

/** The middle of an axis, so that no box shows what lies outside of the volume. */
function within(known, state, axis, room, middle) {
  const half = Math.min(0.5, room / 2 / extent(known, state, axis));
  return clamp(middle, half, 1 - half);
}

/** The state's `middle` such that the cross-hair is in sight. */
function followed(known, state) {
  const middle = { ...state.middle };
  for (const axis of ["x", "y", "z"]) {
    const at = (state.at[axis] + 0.5) / known.shape[axis];
    if (Math.abs(at - middle[axis]) > 0.5 / state.zoom) middle[axis] = at;
  }
  return { middle };
}
