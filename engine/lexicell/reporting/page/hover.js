'use strict';
// Which cell is below a pointer, and what is said about it.

/**
 * Cells by places: squares of the map, and the cells in each.
 * @param {{x: Float32Array, y: Float32Array}} positions
 */
function gridOf({x, y}) {
  const side = Math.min(Math.max(Math.ceil(Math.sqrt(meta.n / 4)), 1), 256);
  const squareOf = (v) => Math.min(Math.max(Math.floor((v + 1) / 2 * side), 0), side - 1);
  const starts = new Uint32Array(side * side + 1);
  for (let i = 0; i < meta.n; i += 1) starts[squareOf(y[i]) * side + squareOf(x[i]) + 1] += 1;
  for (let s = 0; s < side * side; s += 1) starts[s + 1] += starts[s];
  const next = starts.slice();
  const cells = new Uint32Array(meta.n);
  for (let i = 0; i < meta.n; i += 1) cells[next[squareOf(y[i]) * side + squareOf(x[i])]++] = i;
  return {squareOf, starts, cells, side};
}

/**
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @returns {(px: number, py: number, reach: number) => number} the nearest shown cell within so many pixels, or -1
 */
function nearestIn(positions) {
  const grid = gridOf(positions);
  return (px, py, reach) => {
    const [mx, my] = toMap(px, py);
    const far = reach / (view.scale * stageSize.height / 2);
    let [best, nearest] = [far * far, -1];
    for (let row = grid.squareOf(my - far); row <= grid.squareOf(my + far); row += 1) {
      const from = grid.starts[row * grid.side + grid.squareOf(mx - far)];
      const to = grid.starts[row * grid.side + grid.squareOf(mx + far) + 1];
      for (let k = from; k < to; k += 1) {
        const cell = grid.cells[k];
        const away = (positions.x[cell] - mx) ** 2 + (positions.y[cell] - my) ** 2;
        if (away < best && state.shown[cell]) [best, nearest] = [away, cell];
      }
    }
    return nearest;
  };
}

/**
 * @param {Field} field
 * @param {number} value
 * @returns {string}
 */
function valueWords(field, value) {
  if (field.kind === 'numbers') return fieldWords(field, value);
  return value === field.missing ? missingName(field) : field.names[value];
}

/**
 * What is said about a cell: its id, its value in colour, its group, and what contributes most.
 * @param {number} cell
 * @returns {Promise<{id: string, values: string[][], genes: {name: string, value: number}[]}>}
 */
async function about(cell) {
  const [names, top] = await Promise.all([loadNames(), loadTop()]);
  const group = columnFields[meta.group];
  const told = [...new Set([group, state.field])].filter(Boolean);
  const values = await Promise.all(
    told.map(async (field) => [field.name, valueWords(field, (await field.load())[cell])]),
  );
  return {id: names[cell], values, genes: top(cell)};
}

/**
 * @param {HTMLElement} tip
 * @param {{x: Float32Array, y: Float32Array}} positions
 */
function tipOn(tip, positions) {
  let asked = 0;
  function place() {
    const cell = state.hovered;
    if (cell < 0) return;
    const [px, py] = toPixels(positions.x[cell], positions.y[cell]);
    const right = px + 14 + tip.offsetWidth <= stageSize.width;
    const low = py + 14 + tip.offsetHeight <= stageSize.height;
    const inside = (start, length, whole) => `${Math.max(Math.min(start, whole - length - 4), 4)}px`;
    tip.style.left = inside(right ? px + 14 : px - 14 - tip.offsetWidth, tip.offsetWidth, stageSize.width);
    tip.style.top = inside(low ? py + 14 : py - 14 - tip.offsetHeight, tip.offsetHeight, stageSize.height);
  }
  const tellAbout = async () => {
    asked += 1;
    const mine = asked;
    if (state.hovered < 0) {
      tip.hidden = true;
      return;
    }
    const told = await about(state.hovered);
    if (mine !== asked) return;
    const pairs = (rows) => rows.flatMap(([name, value]) => [
      make('dt', {}, [named(name)]), make('dd', {}, [named(value)]),
    ]);
    const text = alike(Math.max(...told.genes.map(({value}) => Math.abs(value))), GENE_DIGITS);
    const genes = pairs(told.genes.map(({name, value}) => [name, text(value)]));
    tip.replaceChildren(
      make('strong', {}, [named(told.id)]),
      make('dl', {}, pairs(told.values)),
      ...(genes.length ? [make('p', {textContent: 'contributes most'}), make('dl', {className: 'genes'}, genes)] : []),
    );
    tip.hidden = false;
    place();
  };
  listen('hovered', tellAbout);
  listen('colour', tellAbout);
  listen('view', place);
}
