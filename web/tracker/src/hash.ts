// The hash functions that pages of the original's script call: MD5, SHA-224, SHA-256, and an object that is fed piece by piece, as that
// of jsSHA. They answer at once, and on pages over http, which the browser's own do not.
const rotated = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

/** Bytes of words of 32 bits. */
const unpacked = (words: number[], isLittle?: boolean): number[] => {
  const bytes: number[] = [];
  words.forEach((word) => [24, 16, 8, 0].forEach((shift) => bytes.push((word >>> (isLittle ? 24 - shift : shift)) & 255)));
  return bytes;
};

const hex = (bytes: number[]): string => bytes.map((byte) => (byte + 256).toString(16).slice(1)).join("");

/** MD5 of the codes of a text's letters, as the original has it; beyond ASCII that is not its UTF-8. */
export const md5 = (text: string): string => {
  const words: number[] = Array((((text.length + 8) >> 6) + 1) * 16).fill(0);
  for (let i = 0; i <= text.length; i++) {
    words[i >> 2]! |= (i < text.length ? text.charCodeAt(i) : 128) << ((i % 4) * 8);
  }
  words[words.length - 2] = text.length * 8;
  let state: number[] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d] = state as [number, number, number, number];
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const mixed = [(b & c) | (~b & d), (b & d) | (c & ~d), b ^ c ^ d, c ^ (b | ~d)][round]!;
      const word = words[block + ((i * [1, 5, 3, 7][round]! + [0, 1, 5, 0][round]!) % 16)]!;
      const by = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21][round * 4 + (i % 4)]!;
      const sum = (a + mixed + word + Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32)) | 0;
      [a, d, c, b] = [d, c, b, (b + rotated(sum, 32 - by)) | 0];
    }
    state = [a, b, c, d].map((word, i) => (word + state[i]!) | 0);
  }
  return hex(unpacked(state, true));
};

/** The first bits behind the point of the roots of the first primes, which SHA-2 begins with. */
const roots: number[] = [];
const cubes: number[] = [];
for (let prime = 2; cubes.length < 64; prime++) {
  let isPrime = true;
  for (let i = 2; i * i <= prime; i++) isPrime = isPrime && prime % i > 0;
  if (isPrime) {
    roots.push((prime ** (1 / 2) * 2 ** 32) | 0);
    cubes.push((prime ** (1 / 3) * 2 ** 32) | 0);
  }
}
const ROOTS_224 = [3238371032, 914150663, 812702999, 4144912697, 4290775857, 1750603025, 1694076839, 3204075428];

/** SHA-256 of bytes, or SHA-224. */
const sha2 = (bytes: number[], is224: boolean): number[] => {
  const padded = bytes.concat(128);
  while (padded.length % 64 != 56) padded.push(0);
  padded.push(...unpacked([(bytes.length / 2 ** 29) | 0, bytes.length << 3]));
  let state = is224 ? ROOTS_224 : roots.slice(0, 8);
  for (let block = 0; block < padded.length; block += 64) {
    const words: number[] = [];
    let mixed = state;
    for (let i = 0; i < 64; i++) {
      const [a, b, c, d, e, f, g, h] = mixed as any;
      if (i < 16) {
        words[i] = padded.slice(block + i * 4, block + i * 4 + 4).reduce((word, byte) => (word << 8) | byte, 0);
      } else {
        const [x, y] = [words[i - 15]!, words[i - 2]!];
        words[i] =
          (words[i - 16]! +
            (rotated(x, 7) ^ rotated(x, 18) ^ (x >>> 3)) +
            words[i - 7]! +
            (rotated(y, 17) ^ rotated(y, 19) ^ (y >>> 10))) |
          0;
      }
      const one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + cubes[i]! + words[i]!;
      const two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      mixed = [(one + two) | 0, a, b, c, (d + one) | 0, e, f, g];
    }
    state = mixed.map((word, i) => (word + state[i]!) | 0);
  }
  return unpacked(state).slice(0, is224 ? 28 : 32);
};

const codes = (text: string): number[] => [].map.call(text, (letter: string) => letter.charCodeAt(0) & 255) as number[];

/** Bytes of an input in one of the formats of jsSHA. */
const read = (input: any, format: string, encoding = "UTF8"): number[] => {
  if (format == "HEX") return (input.match(/../g) || []).map((pair: string) => parseInt(pair, 16));
  if (format == "B64") return codes(atob(input));
  if (format == "BYTES") return codes(input);
  if (format != "TEXT") return [...new Uint8Array(input)];
  if (encoding == "UTF8") return [...new TextEncoder().encode(input)];
  const isLittle = encoding == "UTF16LE";
  const bytes: number[] = [];
  for (let i = 0; i < input.length; i++) {
    const code = input.charCodeAt(i);
    bytes.push(...(isLittle ? [code & 255, code >> 8] : [code >> 8, code & 255]));
  }
  return bytes;
};

const written = (bytes: number[], format: string, { outputUpper, b64Pad = "=" }: any = {}): any => {
  const text = String.fromCharCode(...bytes);
  if (format == "HEX") return outputUpper ? hex(bytes).toUpperCase() : hex(bytes);
  if (format == "B64") return btoa(text).replace(/=/g, b64Pad);
  if (format == "BYTES") return text;
  const array = new Uint8Array(bytes);
  return format == "UINT8ARRAY" ? array : array.buffer;
};

/** Used with `new`, as jsSHA: `update`, `getHash`, `setHMACKey`, `getHMAC`. */
export function JsSha(this: any, variant: string, format: string, options: any = {}): void {
  const is224 = variant == "SHA-224";
  if (!is224 && variant != "SHA-256") throw Error("Chosen SHA variant is not supported");
  let all: number[] = [];
  let key: number[] | undefined;
  const hash = (bytes: number[]) => sha2(bytes, is224);
  const keyed = (mask: number) => Array.from({ length: 64 }, (_, i) => (key![i] || 0) ^ mask);
  this.update = (input: any) => {
    all = all.concat(read(input, format, options.encoding));
    return this;
  };
  this.setHMACKey = (value: any, its: string, { encoding }: any = {}) => {
    key = read(value, its, encoding);
    if (key.length > 64) key = hash(key);
  };
  this.getHMAC = (its: string, how: any) => written(hash(keyed(0x5c).concat(hash(keyed(0x36).concat(all)))), its, how);
  this.getHash = (its: string, how: any) => {
    if (key) return this.getHMAC(its, how);
    let bytes = all;
    for (let round = options.numRounds || 1; round--; ) bytes = hash(bytes);
    return written(bytes, its, how);
  };
  const { hmacKey } = options;
  if (hmacKey) this.setHMACKey(hmacKey.value, hmacKey.format, hmacKey);
}

/** SHA-256 of a text as `HEX` or `B64`. */
export const sha256 = (text: string, format: string): string => written(sha2(read(text, "TEXT"), false), format);
