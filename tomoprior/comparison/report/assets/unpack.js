// Unpack the volumes in the page: base64, then a zlib stream, then sums along x where differences are stored.
// A canvas is not used for this: browsers that guard against tracking change the pixels that it gives back.

/** Bytes of a volume in the script element `id`, `nx` of them a row; the element is emptied. */
async function unpack(id, nx, size) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no ${id}: it is cut off`);
  const text = atob(element.textContent.trim());
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (bytes.length !== size) throw new Error(`${id} holds ${bytes.length} voxels instead of ${size}`);
  if (element.dataset.filter === "x") {
    for (let row = 0; row < size; row += nx) {
      for (let i = row + 1; i < row + nx; i++) bytes[i] += bytes[i - 1];
    }
  }
  element.remove();
  return bytes;
}

/** Unpack all parts of all entries and report the progress; the page is drawn between them. */
async function unpackAll(known, progress) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old to unpack the volumes (it has no DecompressionStream)");
  }
  const { x, y, z } = known.shape;
  const wanted = known.entries.flatMap((entry, i) => entry.parts.map((part) => ({ entry, part, id: `data-${i}-${part}` })));
  let done = 0;
  for (const { entry, part, id } of wanted) {
    progress(done, wanted.length, `${entry.name}, ${part}`);
    entry[part] = await unpack(id, x, x * y * z);
    done += 1;
  }
  if (known.among) known.among = await unpack("data-among", x, x * y * z);
  progress(done, wanted.length, "");
}
