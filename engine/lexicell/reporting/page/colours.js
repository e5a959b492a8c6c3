'use strict';
// Colours of cells, on white and on dark.

const VIRIDIS = ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6ece58', '#b5de2b',
  '#fde725'];
/** Around zero; what does not contribute is pale, and drawn below the rest. */
const SIGNED = {
  light: ['#7a2e00', '#d55e00', '#f3b98f', '#eee3c8', '#9fc3de', '#0072b2', '#10305c'],
  dark: ['#ffc49b', '#e8792b', '#7d4a26', '#4d442f', '#2f6386', '#4da3dc', '#b5dcf8'],
};
/** From zero; what does not contribute has the first colour. */
const RISING = {
  light: ['#cfe2f1', '#9fc3de', '#4f9bcb', '#0072b2', '#10305c'],
  dark: ['#1d3c57', '#2f6386', '#4da3dc', '#82c0ea', '#d5ecfc'],
};
const MISSING = {light: '#c4c6c8', dark: '#5a5d60'};
/** How much is seen of cells that are not selected, while others are; more where colours are pale. */
const faded = () => (state.field?.signed ? 0.5 : 0.16);
const PLAIN = {light: '#0072b2', dark: '#58b4d1'};
const PAPER = {light: '#ffffff', dark: '#0d1117'};
/** Numbers are drawn in so many colours. */
const STEPS = 200;

/** @param {string} colour @returns {number[]} red, green and blue, to 255 */
const parts = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

/** @param {number[]} rgb @returns {string} */
const hex = (rgb) => `#${rgb.map((part) => Math.round(part).toString(16).padStart(2, '0')).join('')}`;

/** @param {string} from @param {string} to @param {number} t @returns {string} */
function mix(from, to, t) {
  const end = parts(to);
  return hex(parts(from).map((part, i) => part + (end[i] - part) * t));
}

/** @param {string} colour @returns {number} */
function luminance(colour) {
  const [r, g, b] = parts(colour).map((part) => {
    const v = part / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {string[]} stops @param {number} t from 0 to 1 @returns {string} */
function between(stops, t) {
  const place = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  return mix(stops[i], stops[i + 1], place - i);
}

/**
 * A colour of a category, as far from the background as a point needs to be seen.
 * @param {string} colour
 * @param {'light' | 'dark'} theme
 * @returns {string}
 */
function visible(colour, theme) {
  const least = theme === 'dark' ? 2.6 : 1.25;
  const paper = luminance(PAPER[theme]);
  for (let t = 0; t < 1; t += 0.1) {
    const tried = mix(colour, theme === 'dark' ? '#ffffff' : '#000000', t);
    const other = luminance(tried);
    if ((Math.max(paper, other) + 0.05) / (Math.min(paper, other) + 0.05) >= least) return tried;
  }
  return colour;
}

/** @param {Range} range @param {'light' | 'dark'} theme @returns {string[]} */
const stopsOf = ({scale}, theme) => ({plain: VIRIDIS, signed: SIGNED[theme], rising: RISING[theme]})[scale];

/** @param {Range} range @param {number} value @returns {number} where the range has it, from 0 to 1 */
const placeIn = ({low, high}, value) => (value / 2 - low / 2) / (high / 2 - low / 2 || 1);

/** @param {string[]} stops @returns {string} from left to right, for a style */
const gradient = (stops) => `linear-gradient(to right, ${stops.join(', ')})`;

/**
 * Range that colours span: from the 1st to the 99th percentile; around zero, or from it, for what can have a sign.
 * @typedef {{low: number, high: number, least: number, most: number, count: number, missing: number,
 *   scale: 'plain' | 'signed' | 'rising', robust: boolean, bars: number[]}} Range
 * @param {Float32Array | Float64Array} values
 * @param {boolean} signed
 * @returns {Range}
 */
function rangeOf(values, signed) {
  const numbers = values.filter((value) => !Number.isNaN(value) && (!signed || value !== 0)).sort();
  const missing = values.reduce((count, value) => count + Number.isNaN(value), 0);
  const count = numbers.length;
  /** @type {Range['scale']} */
  const scale = signed ? (numbers[0] < 0 ? 'signed' : 'rising') : 'plain';
  if (!count) return {low: 0, high: 1, least: 0, most: 0, count, missing, scale, robust: false, bars: []};
  const quantile = (q) => numbers[Math.round(q * (numbers.length - 1))];
  const [least, most] = [numbers[0], numbers[numbers.length - 1]];
  let [low, high] = [quantile(0.01), quantile(0.99)];
  if (signed) {
    high = Math.max(Math.abs(low), Math.abs(high)) || 1;
    low = scale === 'signed' ? -high : 0;
  } else if (low === high) {
    [low, high] = [least, most];
  }
  const bars = new Array(48).fill(0);
  for (const value of numbers) {
    if (value >= low && value <= high) bars[Math.min(47, Math.floor(placeIn({low, high}, value) * 48))] += 1;
  }
  return {low, high, least, most, count, missing, scale, robust: signed || low > least || high < most, bars};
}

/**
 * How cells are drawn: for each the number of its colour; and which are drawn last, so that they are seen.
 * @typedef {{codes: Uint8Array | Uint16Array, colours: string[], order: number[] | null}} Paint
 * @param {Field | null} field
 * @param {any} values
 * @param {Range | null} range
 * @param {'light' | 'dark'} theme
 * @returns {Paint}
 */
function paint(field, values, range, theme) {
  const n = meta.n;
  if (!field) return {codes: new Uint8Array(n), colours: [PLAIN[theme]], order: null};
  if (field.kind === 'categories') {
    const none = field.names.length;
    const codes = Uint16Array.from(values, (code) => (code === field.missing ? none : code));
    const mixed = mixedOrder();
    const order = [...mixed.filter((cell) => codes[cell] === none), ...mixed.filter((cell) => codes[cell] !== none)];
    return {codes, colours: [...field.colours.map((c) => visible(c, theme)), MISSING[theme]], order};
  }
  const stops = stopsOf(range, theme);
  const colours = Array.from({length: STEPS}, (_, i) => between(stops, i / (STEPS - 1)));
  const codes = new Uint8Array(n);
  for (let i = 0; i < n; i += 1) {
    const step = Math.round(placeIn(range, values[i]) * (STEPS - 1));
    codes[i] = Number.isNaN(values[i]) ? STEPS : Math.min(Math.max(step, 0), STEPS - 1);
  }
  return {codes, colours: [...colours, MISSING[theme]], order: orderOf(codes, range.scale === 'signed')};
}

/**
 * Cells without a value first, then those with little, then those with much: of hidden points one wants these least.
 * @param {Uint8Array} codes
 * @param {boolean} signed
 * @returns {number[]}
 */
function orderOf(codes, signed) {
  const rank = (code) => {
    if (code === STEPS) return 0;
    return 1 + (signed ? Math.round(Math.abs(code - (STEPS - 1) / 2)) : code);
  };
  const starts = new Uint32Array(STEPS + 3);
  for (const code of codes) starts[rank(code) + 1] += 1;
  for (let i = 1; i < starts.length; i += 1) starts[i] += starts[i - 1];
  const order = new Array(codes.length);
  codes.forEach((code, cell) => {
    order[starts[rank(code)]++] = cell;
  });
  return order;
}

/**
 * All cells in a random order, always the same: in the order of a file the last category would hide the others.
 * @type {() => number[]}
 */
const mixedOrder = once(() => {
  const order = Array.from({length: meta.n}, (_, i) => i);
  let seed = 1;
  for (let i = meta.n - 1; i > 0; i -= 1) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = Math.floor(seed / 2 ** 32 * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
});

const darkQuery = window.matchMedia('(prefers-color-scheme: dark)');

/** @returns {'light' | 'dark'} */
const themeNow = () => (darkQuery.matches ? 'dark' : 'light');
