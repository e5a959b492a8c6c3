'use strict';
// What is shown and selected. Who wants to know listens; nobody else writes.

/**
 * @typedef {{kind: 'categories', hidden: Set<number>} | {kind: 'numbers', from: number, to: number}} Filter
 */

const state = {
  /** @type {Field | null} What cells are coloured by. */
  field: null,
  /** @type {any} Its values. */
  values: null,
  /** @type {Range | null} Of its numbers. */
  range: null,
  /** @type {Map<string, Filter>} By keys of fields. */
  filters: new Map(),
  shown: new Uint8Array(meta.n).fill(1),
  shownCount: meta.n,
  /** What was selected, shown or not. */
  picked: new Uint8Array(meta.n),
  pickedCount: 0,
  /** What is both selected and shown: only this is drawn and compared. */
  selected: new Uint8Array(meta.n),
  selectedCount: 0,
  hovered: -1,
  lasso: false,
};

/** @type {Map<string, ((detail?: any) => void)[]>} */
const listeners = new Map();

/** @param {'colour' | 'shown' | 'selected' | 'hovered' | 'view' | 'lasso'} what @param {(detail?: any) => void} act */
function listen(what, act) {
  listeners.set(what, [...(listeners.get(what) ?? []), act]);
}

/** @param {string} what @param {any} [detail] */
function tell(what, detail) {
  for (const act of listeners.get(what) ?? []) act(detail);
}

/** The newest loading of columns; what `lexicellReport.idle` waits for. @type {Promise<void>} */
let loading = Promise.resolve();

/** Which of several quick choices of colour is the last. */
let colourings = 0;

/**
 * Colour cells.
 * @param {Field | null} field
 * @returns {Promise<void>}
 */
function colourBy(field) {
  loading = Promise.all([loading, colour(field)]).then(() => {});
  return loading;
}

/** @param {Field | null} field */
async function colour(field) {
  colourings += 1;
  const mine = colourings;
  const values = field ? await field.load() : null;
  if (mine !== colourings) return;
  state.field = field;
  state.values = values;
  state.range = field?.kind === 'numbers' ? rangeOf(values, field.signed) : null;
  tell('colour');
}

/**
 * Set or remove the filter of a field.
 * @param {Field} field
 * @param {Filter | null} filter
 */
async function filterBy(field, filter) {
  const idle = !filter || (filter.kind === 'categories' ? !filter.hidden.size
    : filter.from === -Infinity && filter.to === Infinity);
  if (idle) state.filters.delete(field.key);
  else state.filters.set(field.key, filter);
  await applyFilters();
}

async function clearFilters() {
  state.filters.clear();
  await applyFilters();
}

/** Which of several quick filterings is the last. */
let filterings = 0;

/** @returns {Promise<void>} */
function applyFilters() {
  loading = Promise.all([loading, show()]).then(() => {});
  return loading;
}

async function show() {
  filterings += 1;
  const mine = filterings;
  const shown = new Uint8Array(meta.n).fill(1);
  for (const [key, filter] of [...state.filters]) {
    const field = fields.get(key);
    const values = await field.load();
    if (filter.kind === 'categories') {
      for (let i = 0; i < meta.n; i += 1) if (filter.hidden.has(values[i])) shown[i] = 0;
    } else {
      // NaN is in no range.
      for (let i = 0; i < meta.n; i += 1) if (!(values[i] >= filter.from && values[i] <= filter.to)) shown[i] = 0;
    }
  }
  if (mine !== filterings) return;
  state.shown = shown;
  state.shownCount = shown.reduce((sum, is) => sum + is, 0);
  if (state.pickedCount) setSelected(state.picked);
  tell('shown');
}

/** @param {Uint8Array} mask of cells; those that are not shown stay selected, but are not compared */
function setSelected(mask) {
  const selected = mask.map((is, i) => is & state.shown[i]);
  const count = (all) => all.reduce((sum, is) => sum + is, 0);
  Object.assign(state, {
    picked: mask, pickedCount: count(mask), selected, selectedCount: count(selected),
  });
  tell('selected');
}

/** @param {number[] | Uint32Array} cells */
function selectCells(cells) {
  const mask = new Uint8Array(meta.n);
  for (const cell of cells) mask[cell] = 1;
  setSelected(mask);
}

/** @param {Field} field @param {number} code @returns {Promise<void>} */
function selectCategory(field, code) {
  const select = (values) => setSelected(Uint8Array.from(values, (value) => Number(value === code)));
  loading = Promise.all([loading, field.load().then(select)]).then(() => {});
  return loading;
}

/** @param {number} cell or -1 */
function hover(cell) {
  if (cell === state.hovered) return;
  state.hovered = cell;
  tell('hovered');
}

/** @param {boolean} on */
function setLasso(on) {
  state.lasso = on;
  tell('lasso');
}
