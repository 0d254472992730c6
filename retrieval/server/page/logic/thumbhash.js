// Placeholders: decodes a ThumbHash (Evan Wallace, MIT license) of 20 to 30 bytes to a small picture.

const cache = new Map();

/** Return the data URL of a base64 ThumbHash, or null. */
export function placeholderUrl(base64) {
  if (!base64) return null;
  if (!cache.has(base64)) {
    if (cache.size > 4000) cache.clear();
    cache.set(base64, decodedUrl(base64));
  }
  return cache.get(base64);
}

function decodedUrl(base64) {
  try {
    const hash = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const { width, height, pixels } = decode(hash);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    return canvas.toDataURL();
  } catch {
    return null;
  }
}

/** Return the opaque pixels of a hash, at most 16 on a side. */
export function decode(hash) {
  const head = hash[0] | (hash[1] << 8) | (hash[2] << 16);
  const tail = hash[3] | (hash[4] << 8);
  const hasAlpha = head >> 23, isLandscape = tail >> 15;
  const lx = Math.max(3, isLandscape ? (hasAlpha ? 5 : 7) : tail & 7);
  const ly = Math.max(3, isLandscape ? tail & 7 : hasAlpha ? 5 : 7);
  let at = (hasAlpha ? 6 : 5) * 2;
  const channel = (nx, ny, scale) => {
    const values = [];
    for (let cy = 0; cy < ny; cy++) {
      for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) {
        values.push((((hash[at >> 1] >> ((at & 1) << 2)) & 15) / 7.5 - 1) * scale);
        at++;
      }
    }
    return values;
  };
  const light = channel(lx, ly, ((head >> 18) & 31) / 31);
  const yellow = channel(3, 3, (((tail >> 3) & 63) / 63) * 1.25);
  const red = channel(3, 3, (((tail >> 9) & 63) / 63) * 1.25);
  const ratio = lx / ly;
  const width = Math.round(ratio > 1 ? 16 : 16 * ratio), height = Math.round(ratio > 1 ? 16 / ratio : 16);
  const pixels = new Uint8ClampedArray(width * height * 4);
  const waves = (n, size, i) => Array.from({ length: n }, (_, c) => Math.cos((Math.PI / size) * (i + 0.5) * c));
  const sum = (values, nx, ny, fx, fy) => {
    let total = 0, i = 0;
    for (let cy = 0; cy < ny; cy++) {
      for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) total += values[i++] * fx[cx] * fy[cy] * 2;
    }
    return total;
  };
  const columns = Array.from({ length: width }, (_, x) => waves(7, width, x));
  for (let y = 0, i = 0; y < height; y++) {
    const fy = waves(7, height, y);
    for (let x = 0; x < width; x++, i += 4) {
      const l = (head & 63) / 63 + sum(light, lx, ly, columns[x], fy);
      const p = ((head >> 6) & 63) / 31.5 - 1 + sum(yellow, 3, 3, columns[x], fy);
      const q = ((head >> 12) & 63) / 31.5 - 1 + sum(red, 3, 3, columns[x], fy);
      const b = l - (2 / 3) * p, r = (3 * l - b + q) / 2;
      pixels.set([255 * r, 255 * (r - q), 255 * b, 255], i);
    }
  }
  return { width, height, pixels };
}
