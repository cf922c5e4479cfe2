// The viewer: one state, controls that change it, cards that show it.

const known = JSON.parse(document.getElementById("known").textContent);
const get = (id) => document.getElementById(id);
const cards = [...document.querySelectorAll(".card")];
const AXES = ["x", "y", "z"];
const half = (high, low) => (high - low) / 2;
const start = () => ({ low: known.grey.low, high: known.grey.high, limit: half(known.grey.high, known.grey.low) });
const state = {
  ...start(),
  at: Object.fromEntries(AXES.map((axis) => [axis, Math.floor(known.shape[axis] / 2)])),
  mode: "values",
  reference: 0,
  std: false,
  among: false,
  circles: true,
  drag: "cross",
  planes: "all",
  fit: 1,
  zoom: 1,
  middle: { x: 0.5, y: 0.5, z: 0.5 },
  calibrated: false,
  cross: true,
  shown: new Set(known.entries.keys()),
};
/** Decimals of a value that 8 bits can resolve. */
const decimals = Math.min(12, Math.max(0, Math.ceil(-Math.log10((known.grey.most - known.grey.least) / 255))));

const EXPLAINED = {
  values: "",
  difference: () => `Each volume minus ${known.entries[state.reference].name}: red where it has more, blue where less.`,
  measured: "What lies in directions that a tilt measured: all that the data can vouch for.",
  planted: "The volumes from tilts to which small spheres were added, in circles. A truth has the spheres as they are. Dashed: places without one, for comparison.",
  response: "What the added spheres change: a good method shows them in the circles, and nothing elsewhere. Red where a volume has more, blue where less.",
  inferred: "What lies in directions that no tilt measured: this part of each volume was inferred. In a truth, it is what the tilts missed.",
};

/** Show an error on the page, not only in the console. */
function fail(error) {
  get("loading").hidden = true;
  const box = get("problem");
  box.hidden = false;
  box.textContent = `The viewer does not work: ${error?.message ?? error}`;
  throw error;
}

/** Cards of the wanted size, and the pixels per voxel that fit them; whole or half steps, so that pixels stay even. */
function layout() {
  const box = get("cards");
  const style = getComputedStyle(box);
  const gap = parseFloat(style.columnGap);
  const width = box.clientWidth;
  const wanted = Number(get("size").value);
  const columns = Math.max(1, Math.min(state.shown.size, Math.floor((width + gap) / (wanted + gap))));
  box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  const card = cards.find((c) => !c.hidden);
  if (!card) return;
  const inner = getComputedStyle(card);
  const room = (width - gap * (columns - 1)) / columns - parseFloat(inner.paddingLeft) - parseFloat(inner.paddingRight) - 2 - 4;
  const { shape, step } = known;
  const across = state.planes === "all" ? null : PLANES[state.planes].across;
  const exact = (across ? room + 4 : room) / (across ? shape[across] * step[across] : shape.x * step.x + shape.z * step.z);
  const voxel = exact * step.x;
  state.fit = voxel >= 1 ? Math.floor(voxel * 2) / 2 / step.x : exact;
  draw();
}

let waiting = false;
/** Draw once before the next frame, even after several calls. */
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    try { drawAll(); } catch (error) { fail(error); }
  });
}

function drawAll() {
  for (const card of cards) {
    const index = Number(card.dataset.index);
    const entry = known.entries[index];
    card.hidden = !state.shown.has(index) || (PLANTED.includes(state.mode) && !entry.response);
    if (card.hidden) continue;
    const read = reading(known, state, entry);
    const { std } = entry;
    const overlay = state.among ? known.among : state.std && std;
    card.querySelector(".views").classList.toggle("single", state.planes !== "all");
    for (const view of card.querySelectorAll(".view")) {
      const { plane } = view.dataset;
      view.hidden = state.planes !== "all" && state.planes !== plane;
      if (view.hidden) continue;
      const canvas = view.querySelector(".pixels");
      const place = placeOf(known, state, plane);
      Object.assign(view.style, { width: `${place.width}px`, height: `${place.height}px`, touchAction: state.zoom > 1 ? "none" : "pan-y" });
      const [whole, high] = [PLANES[plane].across, PLANES[plane].down].map((axis) => extent(known, state, axis));
      Object.assign(canvas.style, { left: `${place.left}px`, top: `${place.top}px`, width: `${whole}px`, height: `${high}px` });
      canvas.width = known.shape[PLANES[plane].across];
      canvas.height = known.shape[PLANES[plane].down];
      const cover = overlay && state.mode === "values" ? slice(known.shape, plane, state.at, (i) => overlay[i] / 255) : null;
      paint(canvas, slice(known.shape, plane, state.at, read), scale(state), cover);
      mark(view.querySelector(".marks"), known, state, plane);
    }
    const voxel = state.at.x + known.shape.x * (state.at.y + known.shape.y * state.at.z);
    const deviation = std && state.mode === "values" ? ` ± ${digits(std[voxel] * known.spread, 2)}` : "";
    card.querySelector("h3 output").textContent = read(voxel).toFixed(decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−") + deviation;
  }
}

/** Write the state into the controls. */
function updateControls() {
  for (const axis of AXES) {
    const input = get(`at-${axis}`);
    input.value = state.at[axis];
    const full = (state.at[axis] + 0.5) * known.step[axis] - 0.5;
    const length = known.unit === "voxels" ? "" : ` · ${digits((full + 0.5) * known.voxel)} ${known.unit}`;
    input.parentElement.querySelector("output").textContent = `${full}${length}`;
    input.setAttribute("aria-valuetext", `${full}${length}`);
  }
  for (const name of ["low", "high", "limit"]) {
    get(name).value = state[name];
    get(name).parentElement.querySelector("output").textContent = digits(state[name]);
  }
  const { colours, low, high } = scale(state);
  const signed = colours === SIGNED;
  for (const label of document.querySelectorAll(".scale .grey")) label.hidden = signed;
  document.querySelector(".scale .signed").hidden = !signed;
  paint(get("legend"), Float32Array.from({ length: 256 }, (_, i) => i), { colours, low: 0, high: 255 });
  const ends = document.querySelectorAll(".legend span");
  [digits(low), signed ? "0" : "", digits(high)].forEach((text, i) => { ends[i].textContent = text; });
  const words = EXPLAINED[state.mode];
  const source = state.among ? "the standard deviation among the methods" : "the standard deviation, where a method gives one";
  const std = (state.std || state.among) && state.mode === "values" ? ` Orange: ${source}; full at ${digits(255 * known.spread)}.` : "";
  get("explained").textContent = ((typeof words === "function" ? words() : words) + std).trim();
  get("zoom-value").textContent = `× ${digits(state.zoom, 2)}`;
}

function change(changes) {
  Object.assign(state, changes);
  updateControls();
  draw();
}

/** Move the cross-hair, and the picture with it if it would leave the sight. */
function goTo(at) {
  const next = { ...state, at: { ...state.at, ...at } };
  change({ at: next.at, ...followed(known, next) });
}

function move(axis, value) {
  const last = known.shape[axis] - 1;
  goTo({ [axis]: clamp(value, 0, last) });
}

/** Connect every control with the state. */
function connect() {
  for (const axis of AXES) {
    const input = get(`at-${axis}`);
    input.max = known.shape[axis] - 1;
    input.addEventListener("input", () => move(axis, input.valueAsNumber));
  }
  const { least, most } = known.grey;
  const little = (most - least) / 255;
  for (const name of ["low", "high"]) Object.assign(get(name), { min: least, max: most, step: little / 4 });
  Object.assign(get("limit"), { min: start().limit / 50, max: 2 * start().limit, step: start().limit / 100 });
  get("low").addEventListener("input", (e) => change({ low: Math.min(e.target.valueAsNumber, state.high - little) }));
  get("high").addEventListener("input", (e) => change({ high: Math.max(e.target.valueAsNumber, state.low + little) }));
  get("limit").addEventListener("input", (e) => change({ limit: e.target.valueAsNumber }));
  get("reset").addEventListener("click", () => change(start()));
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    radio.addEventListener("change", () => {
      change({ mode: radio.value });
      if (PLANTED.includes(radio.value)) goToObject();
    });
  }
  get("reference").addEventListener("change", (e) => {
    document.querySelector("input[name=mode][value=difference]").checked = true;
    change({ reference: Number(e.target.value), mode: "difference" });
  });
  for (const name of ["std", "among", "circles", "calibrated", "cross"]) {
    get(name)?.addEventListener("change", (e) => {
      // one of the two lies over the values at a time
      const other = { std: "among", among: "std" }[name];
      if (other && get(other)) get(other).checked = false;
      change({ ...(other ? { [other]: false } : {}), [name]: e.target.checked });
    });
  }
  for (const box of document.querySelectorAll("input[name=shown]")) {
    box.addEventListener("change", () => {
      if (box.checked) state.shown.add(Number(box.value));
      else state.shown.delete(Number(box.value));
      for (const card of cards) card.hidden = !state.shown.has(Number(card.dataset.index));
      layout();
    });
  }
  get("size").addEventListener("change", layout);
  get("object")?.addEventListener("change", goToObject);
  get("planes").addEventListener("change", (e) => {
    change({ planes: e.target.value, zoom: 1 });
    layout();
  });
  state.planes = get("planes").value = known.planes.length > 1 ? "all" : known.planes[0];
  for (const radio of document.querySelectorAll("input[name=drag]")) radio.addEventListener("change", () => change({ drag: radio.value }));
  for (const [id, factor] of [["zoom-in", 1.5], ["zoom-out", 1 / 1.5], ["zoom-whole", 0]]) {
    // the cross-hair stays in sight; 0 is the whole slice
    get(id).addEventListener("click", () => {
      const next = { ...state, zoom: clamp(state.zoom * factor, 1, MOST_ZOOM) };
      change({ zoom: next.zoom, ...followed(known, next) });
    });
  }
  for (const view of document.querySelectorAll(".view")) trackPointer(view);
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width !== width) layout();
    width = entry.contentRect.width;
  }).observe(get("cards"));
}

/** Move the cross-hair to the middle of the chosen planted object. */
function goToObject() {
  const place = known.planted.centers[Number(get("object").value)];
  goTo(Object.fromEntries(["z", "y", "x"].map((axis, i) => {
    const index = Math.floor((place[i] + 0.5) / known.step[axis]);
    return [axis, clamp(index, 0, known.shape[axis] - 1)];
  })));
}

/** Follow the pointers in a slice: one moves the cross-hair or the picture, two fingers zoom. */
function trackPointer(view) {
  const { plane } = view.dataset;
  const { across, down } = PLANES[plane];
  const pressed = new Map(); // places of the pointers that are down
  const local = (event) => {
    const box = view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const point = ([u, v]) => {
    const place = placeOf(known, state, plane);
    const index = (at, first, axis) => clamp(Math.floor(((at - first) / extent(known, state, axis)) * known.shape[axis]), 0, known.shape[axis] - 1);
    change({ at: { ...state.at, [across]: index(u, place.left, across), [down]: index(v, place.top, down) } });
  };
  const drags = (event) => (state.drag === "picture") !== event.shiftKey;
  view.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    view.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, local(event));
    if (pressed.size === 1 && !drags(event)) point(local(event));
  });
  view.addEventListener("pointermove", (event) => {
    const before = pressed.get(event.pointerId);
    if (!before) return;
    const now = local(event);
    if (pressed.size === 2) {
      const [other] = [...pressed].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const distance = ([u, v]) => Math.max(1, Math.hypot(u - other[0], v - other[1]));
      change(zoomed(known, state, plane, distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2));
    } else if (drags(event)) change(moved(known, state, plane, now[0] - before[0], now[1] - before[1]));
    else point(now);
    pressed.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => pressed.delete(event.pointerId));
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the plain wheel moves the page
    event.preventDefault();
    change(zoomed(known, state, plane, Math.exp(-event.deltaY / 200), ...local(event)));
  }, { passive: false });
}

async function begin() {
  const box = get("loading");
  box.hidden = false;
  await unpackAll(known, (done, all, what) => {
    box.querySelector("progress").value = done / all;
    box.querySelector("span").textContent = `unpacking ${what} (${done} of ${all})`;
  });
  box.hidden = true;
  get("controls").hidden = false;
  get("cards").hidden = false;
  connect();
  updateControls();
  layout();
  document.documentElement.dataset.ready = "yes";
}

begin().catch(fail);
