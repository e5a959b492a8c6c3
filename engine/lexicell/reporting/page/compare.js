'use strict';
// What selected cells have that the other shown cells have not.

/**
 * @typedef {{field: Field, name: string, here: number, there: number, score: number}} Difference
 */

/** So many rows a table has at most, and so many of them from one column. */
const ROWS = 12;
const ROWS_OF_COLUMN = 3;

/** The browser may draw and listen between the parts of a long count. */
const breathe = () => new Promise((done) => { setTimeout(done, 0); });

/**
 * Shares of categories, here and elsewhere.
 * @param {Field} field
 * @param {any} values
 * @returns {Difference[]} those that are more frequent here, the most first
 */
function sharesOf(field, values) {
  const none = field.names.length;
  const [here, there] = [new Array(none + 1).fill(0), new Array(none + 1).fill(0)];
  for (let i = 0; i < meta.n; i += 1) {
    if (state.shown[i]) (state.selected[i] ? here : there)[values[i] === field.missing ? none : values[i]] += 1;
  }
  const rest = Math.max(state.shownCount - state.selectedCount, 1);
  return field.names
    .map((name, code) => {
      const [share, other] = [here[code] / state.selectedCount, there[code] / rest];
      return {field, name, here: share, there: other, score: share - other};
    })
    .filter((row) => row.score >= 0.02)
    .sort((a, b) => b.score - a.score)
    .slice(0, ROWS_OF_COLUMN);
}

/**
 * Means of numbers, here and elsewhere, and their difference in standard deviations within the two.
 * @param {Field} field
 * @param {Float32Array | Float64Array} values
 * @returns {Difference | null} null without a value on both sides
 */
function meansOf(field, values) {
  const count = [0, 0];
  const mean = [0, 0];
  const squares = [0, 0];
  for (let i = 0; i < meta.n; i += 1) {
    const value = values[i];
    if (!state.shown[i] || Number.isNaN(value)) continue;
    const side = state.selected[i];
    count[side] += 1;
    const step = value - mean[side];
    mean[side] += step / count[side];
    squares[side] += step * (value - mean[side]);
  }
  if (!count[0] || !count[1]) return null;
  const within = Math.sqrt((squares[0] + squares[1]) / Math.max(count[0] + count[1] - 2, 1));
  const apart = mean[1] - mean[0];
  const score = within > 0 ? apart / within : Math.sign(apart) * (apart ? Infinity : 0);
  return {field, name: field.name, here: mean[1], there: mean[0], score};
}

/**
 * Means of a gene's contributions, here and elsewhere. Cells that do not use the gene count as 0.
 * @param {Field} field
 * @param {Float32Array} values
 * @returns {Difference}
 */
function contributionOf(field, values) {
  const sums = [0, 0];
  for (let i = 0; i < meta.n; i += 1) if (state.shown[i]) sums[state.selected[i]] += values[i];
  const here = sums[1] / state.selectedCount;
  const there = sums[0] / Math.max(state.shownCount - state.selectedCount, 1);
  return {field, name: field.name, here, there, score: here - there};
}

/**
 * @param {() => boolean} outdated whether the selection is another one by now
 * @returns {Promise<{categories: Difference[], numbers: Difference[], more: Difference[], less: Difference[]} | null>}
 */
async function compare(outdated) {
  const [categories, numbers, genes] = [[], [], []];
  let since = performance.now();
  /** @returns {Promise<boolean>} whether to go on */
  const next = async () => {
    if (performance.now() - since > 40) {
      await breathe();
      since = performance.now();
    }
    return !outdated();
  };
  for (const field of columnFields) {
    const values = await field.load();
    if (!await next()) return null;
    if (field.kind === 'categories') categories.push(...sharesOf(field, values));
    else numbers.push(meansOf(field, values));
  }
  for (const field of geneFields) {
    const values = await field.load();
    if (!await next()) return null;
    genes.push(contributionOf(field, values));
  }
  // Less than a twentieth of the largest difference is noise beside it.
  const most = Math.max(...genes.map((row) => Math.abs(row.score)), 0);
  const telling = genes.filter((row) => Math.abs(row.score) >= most / 20);
  const best = (rows) => rows.sort((a, b) => Math.abs(b.score) - Math.abs(a.score)).slice(0, ROWS);
  return {
    categories: best(categories),
    numbers: best(numbers.filter((row) => row && Math.abs(row.score) >= 0.05)),
    more: best(telling.filter((row) => row.score > 0)),
    less: best(telling.filter((row) => row.score < 0)),
  };
}
