/** Saves the chart as a picture that says what it shows. */

const HEADER_PX = 30;

/**
 * @param {string} pictureUrl the chart as a data address
 * @param {{title: string, detail: string, background: string, color: string, muted: string}} caption
 * @param {string} fileName
 * @returns {Promise<void>}
 */
export async function savePicture(pictureUrl, { title, detail, background, color, muted }, fileName) {
  const picture = new Image();
  picture.src = pictureUrl;
  await picture.decode();
  const scale = globalThis.devicePixelRatio || 1;
  const header = HEADER_PX * scale;
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height + header;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.fillStyle = background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, header);
  context.textBaseline = "middle";
  context.font = `600 ${13 * scale}px Inter, system-ui, sans-serif`;
  context.fillStyle = color;
  context.fillText(title, 10 * scale, header / 2);
  const offset = context.measureText(title).width + 22 * scale;
  context.font = `${12 * scale}px Inter, system-ui, sans-serif`;
  context.fillStyle = muted;
  context.fillText(detail, offset, header / 2);
  const blob = await new Promise((resolve) => {
    canvas.toBlob(resolve, "image/png");
  });
  if (blob instanceof Blob) download(blob, fileName);
}

/** @param {Blob} blob @param {string} fileName */
function download(blob, fileName) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1_000);
}
