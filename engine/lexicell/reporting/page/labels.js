'use strict';
// Names of categories on the map, in the middle of their cells, and a ring around the cell that is looked at.

/** More names than these hide the map. */
const NAMED = 40;
const LETTERS = 28;

/** @param {string} name @returns {string} */
const short = (name) => (name.length > LETTERS ? `${name.slice(0, LETTERS - 1).trimEnd()}…` : name);

/**
 * @param {number[]} numbers
 * @returns {number}
 */
const median = (numbers) => Float32Array.from(numbers).sort()[numbers.length >> 1];

/**
 * Where names belong: the cell nearest to the median of a category, so that a name is on cells even where these
 * lie around a hole.
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @returns {{name: string, x: number, y: number, count: number}[]} of the categories that are shown, the largest first
 */
function namesOnMap(positions) {
  const {field, values} = state;
  if (field?.kind !== 'categories' || field.names.length > NAMED) return [];
  const cells = field.names.map(() => []);
  for (let i = 0; i < meta.n; i += 1) if (state.shown[i] && values[i] !== field.missing) cells[values[i]].push(i);
  return cells.map((members, code) => {
    if (!members.length) return null;
    const [mx, my] = [positions.x, positions.y].map((axis) => median(members.map((cell) => axis[cell])));
    const away = (cell) => (positions.x[cell] - mx) ** 2 + (positions.y[cell] - my) ** 2;
    const middle = members.reduce((best, cell) => (away(cell) < away(best) ? cell : best));
    return {name: short(field.names[code]), x: positions.x[middle], y: positions.y[middle], count: members.length};
  }).filter(Boolean).sort((a, b) => b.count - a.count);
}

/**
 * Those that do not hide another; a larger category goes first.
 * @param {{name: string, x: number, y: number}[]} names
 * @returns {{name: string, px: number, py: number}[]}
 */
function apart(names) {
  const taken = [];
  for (const {name, x, y} of names) {
    const [middle, py] = toPixels(x, y);
    const half = name.length * 3.6 + 4;
    const outside = middle < 0 || py < 0 || middle > stageSize.width || py > stageSize.height;
    const px = Math.max(Math.min(middle, stageSize.width - half), half);
    const hides = taken.some((other) => Math.abs(other.px - px) < other.half + half && Math.abs(other.py - py) < 17);
    if (!outside && !hides) taken.push({name, px, py, half});
  }
  return taken;
}

/**
 * @param {SVGElement} layer
 * @param {HTMLButtonElement} button
 * @param {{x: Float32Array, y: Float32Array}} positions
 */
function keepLabels(layer, button, positions) {
  let names = [];
  let on = true;
  const place = () => {
    layer.replaceChildren(...(on ? apart(names) : []).map(({name, px, py}) => {
      const text = document.createElementNS('http://www.w3.org/2000/svg', 'text');
      text.textContent = name;
      text.setAttribute('x', px.toFixed(1));
      text.setAttribute('y', py.toFixed(1));
      return text;
    }));
  };
  const build = () => {
    names = namesOnMap(positions);
    button.disabled = state.field?.kind !== 'categories' || state.field.names.length > NAMED;
    place();
  };
  button.addEventListener('click', () => {
    on = !on;
    button.setAttribute('aria-pressed', String(on));
    place();
  });
  listen('colour', build);
  listen('shown', build);
  listen('view', place);
}

/**
 * Names on paper, where there is no layer above the points.
 * @param {CanvasRenderingContext2D} context
 * @param {{x: Float32Array, y: Float32Array}} positions
 */
function drawNames(context, positions) {
  context.globalAlpha = 1;
  context.font = '600 12px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineJoin = 'round';
  context.lineWidth = 4;
  context.strokeStyle = '#ffffff';
  context.fillStyle = '#1f2328';
  for (const {name, px, py} of apart(namesOnMap(positions))) {
    context.strokeText(name, px, py);
    context.fillText(name, px, py);
  }
}

/** @param {SVGCircleElement} ring @param {{x: Float32Array, y: Float32Array}} positions */
function keepRing(ring, positions) {
  const place = () => {
    const cell = state.hovered;
    ring.setAttribute('visibility', cell < 0 ? 'hidden' : 'visible');
    if (cell < 0) return;
    const [px, py] = toPixels(positions.x[cell], positions.y[cell]);
    ring.setAttribute('cx', px.toFixed(1));
    ring.setAttribute('cy', py.toFixed(1));
    ring.setAttribute('r', (pointSize() * growth() / 2 + 3).toFixed(1));
  };
  listen('hovered', place);
  listen('view', place);
}
