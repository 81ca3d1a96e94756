// Reads and writes PNG images (ISO/IEC 15948) with Node's own zlib: 8 bits per channel, grey, RGB,
// palette, with or without alpha, not interlaced. Everything is converted to RGBA.
import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const MAX_PIXELS = 40_000_000;

export class BadImage extends Error {}

const CRC = new Uint32Array(256).map((_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC[(c ^ byte) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function* chunksOf(data) {
  if (data.length < 8 || !data.subarray(0, 8).equals(SIGNATURE)) throw new BadImage("not a PNG");
  for (let at = 8; at + 12 <= data.length; ) {
    const length = data.readUInt32BE(at);
    if (at + 12 + length > data.length) throw new BadImage("the file is cut off");
    const body = data.subarray(at + 4, at + 8 + length);
    if (crc32(body) !== data.readUInt32BE(at + 8 + length)) throw new BadImage("damaged: bad CRC");
    yield [body.toString("latin1", 0, 4), body.subarray(4)];
    at += 12 + length;
  }
}

/** Decode a PNG into {width, height, rgba}; throws BadImage if it is damaged or unsupported. */
export function decode(data) {
  let header, palette, transparency;
  const parts = [];
  for (const [name, body] of chunksOf(data)) {
    if (name === "IHDR") header = body;
    else if (name === "PLTE") palette = body;
    else if (name === "tRNS") transparency = body;
    else if (name === "IDAT") parts.push(body);
  }
  if (!header || header.length < 13) throw new BadImage("no header");
  const width = header.readUInt32BE(0), height = header.readUInt32BE(4);
  const [depth, colour, , , interlaced] = header.subarray(8);
  const channels = CHANNELS[colour];
  if (depth !== 8 || !channels || interlaced) {
    throw new BadImage("only 8 bits a channel and no interlacing");
  }
  if (!width || !height || width * height > MAX_PIXELS) throw new BadImage("too large");
  if (colour === 3 && !palette) throw new BadImage("no palette");
  const size = (width * channels + 1) * height;
  let raw;
  try {
    raw = inflateSync(Buffer.concat(parts), { maxOutputLength: size });
  } catch {
    throw new BadImage("damaged: the pixels cannot be decompressed");
  }
  if (raw.length !== size) throw new BadImage("damaged: pixels are missing");
  const pixels = unfilter(raw, width * channels, height, channels);
  return { width, height, rgba: toRgba(pixels, colour, channels, palette, transparency) };
}

/** Undo the five line filters of PNG (§9): each byte was stored as a difference. */
function unfilter(raw, stride, height, channels) {
  const out = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    if (filter > 4) throw new BadImage("damaged: unknown filter");
    const line = y * (stride + 1) + 1, to = y * stride;
    for (let x = 0; x < stride; x++) {
      const left = x >= channels ? out[to + x - channels] : 0;
      const up = y ? out[to + x - stride] : 0;
      const corner = y && x >= channels ? out[to + x - stride - channels] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      out[to + x] = raw[line + x] + guess;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const p = left + up - corner;
  const a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function toRgba(pixels, colour, channels, palette, transparency) {
  const count = pixels.length / channels, out = Buffer.alloc(count * 4, 255);
  for (let i = 0, p = 0, o = 0; i < count; i++, p += channels, o += 4) {
    if (colour === 3) {
      const index = pixels[p];
      palette.copy(out, o, index * 3, index * 3 + 3);
      if (transparency && index < transparency.length) out[o + 3] = transparency[index];
    } else if (channels >= 3) {
      pixels.copy(out, o, p, p + channels);
    } else {
      out.fill(pixels[p], o, o + 3);
      if (channels === 2) out[o + 3] = pixels[p + 1];
    }
  }
  return out;
}

/** Encode RGBA pixels as a PNG, each line stored as differences to the one above. */
export function encode({ width, height, rgba }) {
  const stride = width * 4, raw = Buffer.alloc((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    raw[y * (stride + 1)] = 2;
    for (let x = 0; x < stride; x++) {
      raw[y * (stride + 1) + 1 + x] = rgba[y * stride + x] - (y ? rgba[(y - 1) * stride + x] : 0);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(raw)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...parts]);
}

function chunk(name, body) {
  const framed = Buffer.alloc(body.length + 12);
  framed.writeUInt32BE(body.length, 0);
  framed.write(name, 4, "latin1");
  body.copy(framed, 8);
  framed.writeUInt32BE(crc32(framed.subarray(4, body.length + 8)), body.length + 8);
  return framed;
}

/** Shrink an image to `width` by averaging the pixels that fall into each new one. */
export function shrink(image, width) {
  if (width >= image.width) return image;
  const height = Math.max(1, Math.round((image.height * width) / image.width));
  const rgba = Buffer.alloc(width * height * 4);
  for (let y = 0; y < height; y++) {
    const top = Math.floor((y * image.height) / height);
    const bottom = Math.max(top + 1, Math.floor(((y + 1) * image.height) / height));
    for (let x = 0; x < width; x++) {
      const left = Math.floor((x * image.width) / width);
      const right = Math.max(left + 1, Math.floor(((x + 1) * image.width) / width));
      average(image, left, right, top, bottom, rgba, (y * width + x) * 4);
    }
  }
  return { width, height, rgba };
}

/** Average one box; colours count by their opacity, so that what is invisible does not bleed in. */
function average(image, left, right, top, bottom, out, to) {
  let red = 0, green = 0, blue = 0, alpha = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = (y * image.width + x) * 4, opacity = image.rgba[at + 3];
      red += image.rgba[at] * opacity;
      green += image.rgba[at + 1] * opacity;
      blue += image.rgba[at + 2] * opacity;
      alpha += opacity;
    }
  }
  const count = (right - left) * (bottom - top);
  out.set(alpha ? [red / alpha, green / alpha, blue / alpha, alpha / count].map(Math.round) : [0, 0, 0, 0], to);
}
