'use strict';
// What the page holds: its columns, unpacked when they are first asked for.

/**
 * @typedef {{name: string, origin: string, note: string, kind: 'categories' | 'numbers', type: string, block: number,
 *   names?: string[], totals?: number[], colours?: string[]}} Column
 * @typedef {{names: string[], note: string, type: 'i1' | 'i2', scales: number[], blocks: number[], places: number[],
 *   allNames: string[], top: number, topSteps: number, topScale: number, topCount: number}} Genes
 * @typedef {{n: number, total: number, layout: string, extent: number[], positions: number, names: number,
 *   columns: Column[], group: number, genes: Genes | null}} Meta
 *
 * A field is what cells can be coloured by: a column, or a gene.
 * @typedef {{key: string, name: string, origin: string, note: string, kind: 'categories' | 'numbers', signed: boolean,
 *   missing: number, names: string[], totals: number[], colours: string[],
 *   load: () => Promise<Uint8Array | Int16Array | Float32Array | Float64Array>}} Field
 */

/** Code of cells without a category: as bytes hold it, and as two bytes do. */
const NONE = {u1: 255, i2: -1};

const TYPES = {
  u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, f4: Float32Array, f8: Float64Array,
};

/** @type {Meta} */
const meta = JSON.parse(document.getElementById('lx-meta').textContent);

/** @type {Map<number, Promise<Uint8Array>>} */
const opened = new Map();

/**
 * The bytes of a block; its text is let go.
 * @param {number} place
 * @returns {Promise<Uint8Array>}
 */
function bytesOf(place) {
  if (!opened.has(place)) opened.set(place, inflate(place));
  return opened.get(place);
}

/**
 * @param {number} place
 * @returns {Promise<Uint8Array>}
 */
async function inflate(place) {
  const element = document.getElementById(`lx-block-${place}`);
  const text = atob(element.textContent);
  element.remove();
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Numbers of a block. Their first bytes come first, then their second bytes, and so on.
 * @param {number} place
 * @param {'u1' | 'i1' | 'u2' | 'i2' | 'f4' | 'f8'} type
 * @returns {Promise<any>} an array of that type
 */
async function numbersOf(place, type) {
  const planes = await bytesOf(place);
  const width = TYPES[type].BYTES_PER_ELEMENT;
  if (width === 1) return new TYPES[type](planes.buffer);
  const n = planes.length / width;
  const joined = new Uint8Array(planes.length);
  for (let plane = 0; plane < width; plane += 1) {
    for (let i = 0, to = plane, from = plane * n; i < n; i += 1, to += width) joined[to] = planes[from + i];
  }
  return new TYPES[type](joined.buffer);
}

/**
 * A function that works once and remembers.
 * @template T
 * @param {() => T} work
 * @returns {() => T}
 */
function once(work) {
  /** @type {{value: T} | null} */
  let kept = null;
  return () => (kept ??= {value: work()}).value;
}

/** Ids of the cells. @type {() => Promise<string[]>} */
const loadNames = once(async () => JSON.parse(new TextDecoder().decode(await bytesOf(meta.names))));

/**
 * Positions of the cells: x of each, then y of each; the longer side reaches from -1 to 1.
 * @type {() => Promise<{x: Float32Array, y: Float32Array}>}
 */
const loadPositions = once(async () => {
  const steps = await numbersOf(meta.positions, 'u2');
  const [x, y] = [0, 1].map((axis) => {
    const half = meta.extent[axis];
    return Float32Array.from(
      steps.subarray(axis * meta.n, (axis + 1) * meta.n), (step) => (step / 65535 * 2 - 1) * half,
    );
  });
  return {x, y};
});

/**
 * The genes that contribute most to each cell.
 * @type {() => Promise<(cell: number) => {name: string, value: number}[]>}
 */
const loadTop = once(async () => {
  const {genes, n} = meta;
  if (!genes) return () => [];
  const [places, steps] = await Promise.all([numbersOf(genes.top, 'u2'), numbersOf(genes.topSteps, 'i2')]);
  return (cell) => {
    const rows = [];
    for (let t = 0; t < genes.topCount; t += 1) {
      const step = steps[t * n + cell];
      if (step) rows.push({name: genes.allNames[places[t * n + cell]], value: Math.fround(step * genes.topScale)});
    }
    return rows;
  };
});

/**
 * Contributions that are known well, of genes by their places among all: which cells they are of, and how much.
 * @type {() => Promise<{cells: number[], values: number[]}[]>}
 */
const loadExact = once(async () => {
  const {genes, n} = meta;
  const [places, steps] = await Promise.all([numbersOf(genes.top, 'u2'), numbersOf(genes.topSteps, 'i2')]);
  const rows = genes.allNames.map(() => ({cells: [], values: []}));
  steps.forEach((step, i) => {
    if (!step) return;
    rows[places[i]].cells.push(i % n);
    rows[places[i]].values.push(step * genes.topScale);
  });
  return rows;
});

/** Digits of a contribution that say something: one byte holds fewer than two. */
const GENE_DIGITS = meta.genes?.type === 'i1' ? 2 : 3;

/** @type {Field[]} */
const columnFields = meta.columns.map((column, i) => ({
  key: `c${i}`,
  name: column.name,
  origin: column.origin,
  note: column.note,
  kind: column.kind,
  signed: false,
  missing: NONE[column.type] ?? 0,
  names: column.names ?? [],
  totals: column.totals ?? [],
  colours: column.colours ?? [],
  load: once(() => numbersOf(column.block, column.type)),
}));

/**
 * Contributions of a gene; those that are among a cell's largest are the same as are told there.
 * @param {number} gene
 * @returns {Promise<Float32Array>}
 */
async function loadContributions(gene) {
  const {type, scales, blocks, places} = meta.genes;
  const values = Float32Array.from(await numbersOf(blocks[gene], type), (step) => step * Math.abs(step) * scales[gene]);
  const exact = places[gene] < 0 ? null : (await loadExact())[places[gene]];
  exact?.cells.forEach((cell, i) => { values[cell] = exact.values[i]; });
  return values;
}

/** @type {Field[]} */
const geneFields = (meta.genes?.names ?? []).map((name, gene) => ({
  key: `g${gene}`,
  name,
  origin: 'gene',
  note: meta.genes.note,
  kind: 'numbers',
  signed: true,
  missing: 0,
  names: [],
  totals: [],
  colours: [],
  load: once(() => loadContributions(gene)),
}));

/** @type {Map<string, Field>} */
const fields = new Map([...columnFields, ...geneFields].map((field) => [field.key, field]));

/** From here on, and below its inverse, numbers are written with exponents. */
const LARGE = 1e15;

/** @param {number} value @param {number} digits @returns {string} such as 1.23e+30 */
const exponential = (value, digits) => Number(value.toPrecision(digits)).toExponential();

/**
 * @param {number} value
 * @param {number} [digits] that say something
 * @returns {string}
 */
function words(value, digits = 3) {
  if (!Number.isFinite(value)) return 'missing';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= LARGE) return exponential(value, digits);
  if (Number.isInteger(value) || size >= 10000) return Math.round(value).toLocaleString('en');
  if (size < 0.001) return exponential(value, digits);
  return value.toLocaleString('en', {maximumSignificantDigits: size >= 1000 ? 4 : digits});
}

/** @param {Field} field @param {number} value @returns {string} */
const fieldWords = (field, value) => words(value, field.origin === 'gene' ? GENE_DIGITS : 3);

/**
 * What writes numbers with as many decimals as the largest needs.
 * @param {number} most
 * @param {number} [digits] of the largest
 * @returns {(value: number) => string}
 */
function alike(most, digits = 3) {
  if (most >= LARGE || (most > 0 && most < 1e-5)) return (value) => words(value, digits);
  const decimals = Math.max(digits - 1 - Math.floor(Math.log10(most || 1)), 0);
  const form = {minimumFractionDigits: decimals, maximumFractionDigits: decimals};
  return (value) => (Math.abs(value) < 0.5 * 10 ** -decimals ? '0' : value.toLocaleString('en', form));
}

/** @param {Field} field @returns {string} what cells without a category are called, unlike any category */
function missingName(field) {
  let name = 'missing';
  while (field.names.includes(name)) name = `(${name})`;
  return name;
}

/**
 * @param {number} count
 * @param {string} noun
 * @returns {string}
 */
const several = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

/**
 * An element, with text as text.
 * @param {string} tag
 * @param {{[name: string]: any}} [properties]
 * @param {(Node | string)[]} [children]
 * @returns {any}
 */
function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** @param {string} text @param {number} [most] letters @returns {string} */
function brief(text, most = 60) {
  const letters = text.length > most ? [...text] : [];
  return letters.length > most ? `${letters.slice(0, most - 1).join('').trimEnd()}…` : text;
}

/** Longer names are cut by a style. */
const LONG = 160;

/**
 * A name beside other text: its direction of writing stays its own, and it may break after "_".
 * @param {string} text
 * @returns {HTMLElement}
 */
function named(text) {
  const pieces = text.match(/[^_]*_+|[^_]+/g) ?? [];
  const properties = text.length > LONG ? {className: 'long', title: text} : {};
  return make('bdi', properties, pieces.flatMap((piece, i) => (i ? [make('wbr'), piece] : [piece])));
}

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(`lx-${id}`);
