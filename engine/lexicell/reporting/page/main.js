'use strict';
// Puts the parts together.

/** @param {{x: Float32Array, y: Float32Array}} positions @returns {Renderer} */
function rendererFor(positions) {
  const canvas = at('canvas');
  if (hasWebGl()) {
    try {
      return glRenderer(canvas, positions);
    } catch {
      // A canvas that WebGL did not take can still be drawn on.
    }
  }
  at('without').hidden = false;
  return flatRenderer(canvas, positions);
}

/**
 * The cell that is meant: the one of that id, or the only one whose id contains the text. A field for text keeps
 * no line breaks, and what is pasted often has spaces around it.
 * @param {string[]} names
 * @param {string} text
 * @returns {{cell: number, starts: number, contain: number}} -1 for none or several, and how many ids there are
 */
function lookUp(names, text) {
  const plain = (name) => name.replace(/[\r\n]/g, '').trim();
  const wanted = plain(text);
  const exact = [names.indexOf(text), names.indexOf(wanted)].find((cell) => cell >= 0)
    ?? names.findIndex((name) => plain(name) === wanted);
  if (exact >= 0) return {cell: exact, starts: 1, contain: 1};
  const [small, found] = [wanted.toLowerCase(), []];
  let starts = 0;
  names.forEach((name, cell) => {
    const place = plain(name).toLowerCase().indexOf(small);
    if (place >= 0) found.push(cell);
    if (place === 0) starts += 1;
  });
  return {cell: found.length === 1 ? found[0] : -1, starts, contain: found.length};
}

/** @param {(...parts: (Node | string)[]) => void} say @param {{x: Float32Array, y: Float32Array}} positions */
function keepFinder(say, positions) {
  at('find-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = at('find').value;
    if (!text.trim()) return;
    const names = await loadNames();
    const {cell, starts, contain} = lookUp(names, text);
    const id = named(brief(cell < 0 ? text.trim() : names[cell]));
    if (!contain) {
      say('No cell of this page is called ', id, '.');
    } else if (cell < 0) {
      const [all, first] = [contain, starts].map((count) => count.toLocaleString('en'));
      say(`${all} ids contain `, id, `, ${first} of them at their beginning: type more of the one that is meant.`);
    } else if (!state.shown[cell]) {
      say(id, ' is hidden by a filter.');
    } else {
      selectCells([cell]);
      centreOn(positions.x[cell], positions.y[cell]);
      hover(cell);
      say(id, ' is selected and in the middle of the map.');
    }
  });
}

function keepButtons() {
  at('in').addEventListener('click', () => zoomBy(1.6));
  at('out').addEventListener('click', () => zoomBy(1 / 1.6));
  at('reset').addEventListener('click', resetView);
  at('lasso').addEventListener('click', () => setLasso(!state.lasso));
  at('select-shown').addEventListener('click', () => setSelected(state.shown.slice()));
  listen('lasso', () => {
    at('lasso').setAttribute('aria-pressed', String(state.lasso));
    at('stage').classList.toggle('lassoing', state.lasso);
  });
}

/** @param {Renderer} renderer */
function keepCanvas(renderer) {
  const stage = at('stage');
  const repaint = () => renderer.recolour(paint(state.field, state.values, state.range, themeNow()));
  listen('colour', () => {
    repaint();
    at('canvas').setAttribute('aria-label', `Scatter plot of the cells, coloured by ${state.field?.name ?? 'nothing'}`);
  });
  listen('shown', renderer.refilter);
  listen('selected', renderer.reselect);
  listen('view', renderer.review);
  darkQuery.addEventListener('change', () => tell('colour'));
  new ResizeObserver(() => {
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (!width || (width === stageSize.width && height === stageSize.height)) return;
    const zoom = view.scale / wholeScale();
    Object.assign(stageSize, {width, height});
    renderer.resize();
    setView({scale: wholeScale() * zoom, x: view.x, y: view.y});
  }).observe(stage);
}

async function start() {
  const stage = at('stage');
  const positions = await loadPositions();
  at('cells').hidden = false;
  Object.assign(stageSize, {width: stage.clientWidth, height: stage.clientHeight});
  Object.assign(view, {scale: wholeScale(), x: 0, y: 0});
  const renderer = rendererFor(positions);
  const say = keepStatus(at('status'));
  keepCanvas(renderer);
  keepLegend(at('legend'));
  keepChips(at('chips'));
  keepChooser(at('colour'), at('gene-box'), at('gene'), at('genes'), at('gene-said'));
  keepButtons();
  keepPanel(at('panel'), at('panel-words'), at('panel-tables'));
  keepFinder(say, positions);
  keepDocument(positions);
  keepLabels(at('labels'), at('names'), positions);
  keepRing(at('ring'), positions);
  tipOn(at('tip'), positions);
  followPointers(stage, at('line'), positions);
  followKeys(stage);
  resetView();
  await colourBy(columnFields[meta.group] ?? columnFields[0] ?? null);
  await renderer.idle();
  return {renderer, positions};
}

const started = start();
started.catch(() => { at('failed').hidden = false; });

/**
 * The map from the outside, for the console and for tests.
 *
 * `ready` resolves to the milliseconds from the start of loading to drawn points, NaN where they can't be drawn;
 * `idle()` when all is drawn and counted; `state()` tells what is shown, selected and in colour, and the view;
 * `position(cell)` resolves to where a cell is on the screen, and `names()` to the ids.
 */
window.lexicellReport = Object.freeze({
  ready: started.then(() => performance.now(), () => NaN),
  async idle() {
    const {renderer} = await started;
    await loading;
    await comparing;
    await renderer.idle();
  },
  state: () => ({
    cells: meta.n,
    shown: state.shownCount,
    selected: state.selectedCount,
    picked: state.pickedCount,
    colour: state.field?.name ?? null,
    hovered: state.hovered,
    view: {...view},
  }),
  async position(cell) {
    const {positions} = await started;
    const box = at('stage').getBoundingClientRect();
    const [px, py] = toPixels(positions.x[cell], positions.y[cell]);
    return [box.left + at('stage').clientLeft + px, box.top + at('stage').clientTop + py];
  },
  names: loadNames,
});
