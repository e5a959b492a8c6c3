'use strict';
// Mouse, touch and keys on the map. One finger or the left button moves it or draws a lasso; two fingers zoom.

/** A press that moves less, in pixels, is a click. */
const STILL = 4;

/**
 * Cells that are shown within a polygon.
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @param {number[][]} corners of the map
 * @returns {number[]}
 */
function cellsWithin(positions, corners) {
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const cells = [];
  for (let cell = 0; cell < meta.n; cell += 1) {
    const [x, y] = [positions.x[cell], positions.y[cell]];
    if (!state.shown[cell] || x < left || x > right || y < low || y > high) continue;
    let inside = false;
    for (let i = 0, j = xs.length - 1; i < xs.length; j = i, i += 1) {
      if ((ys[i] > y) !== (ys[j] > y) && x < (xs[j] - xs[i]) * (y - ys[i]) / (ys[j] - ys[i]) + xs[i]) inside = !inside;
    }
    if (inside) cells.push(cell);
  }
  return cells;
}

/**
 * @param {HTMLElement} stage
 * @param {SVGPathElement} line
 * @param {{x: Float32Array, y: Float32Array}} positions
 */
function followPointers(stage, line, positions) {
  const nearest = nearestIn(positions);
  /** @type {Map<number, number[]>} Where each finger is. */
  const fingers = new Map();
  /** @type {number[][] | null} */
  let corners = null;
  /** @type {number[]} */
  let start = [0, 0];
  let still = true;

  /** @param {MouseEvent} event @returns {number[]} */
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };
  const reach = (event) => (event.pointerType === 'touch' ? 18 : 6) + pointSize() * growth() / 2;

  function drawLine() {
    line.setAttribute('d', corners ? `M${corners.map((corner) => corner.map(Math.round).join(' ')).join('L')}Z` : '');
  }

  function endLasso() {
    const outline = corners;
    corners = null;
    drawLine();
    if (outline && outline.length > 2) selectCells(cellsWithin(positions, outline.map(([px, py]) => toMap(px, py))));
    if (state.lasso) setLasso(false);
  }

  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    stage.focus({preventScroll: true});
    try {
      stage.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that is gone already needs no capture.
    }
    fingers.set(event.pointerId, place(event));
    start = place(event);
    still = fingers.size === 1;
    if (fingers.size > 1) {
      corners = null;
      drawLine();
    } else if (state.lasso || event.shiftKey) {
      corners = [start];
      hover(-1);
    }
  });

  stage.addEventListener('pointermove', (event) => {
    const now = place(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== 'touch') hover(nearest(...now, reach(event)));
      return;
    }
    if (still && Math.hypot(now[0] - start[0], now[1] - start[1]) < STILL) return;
    still = false;
    fingers.set(event.pointerId, now);
    if (corners) {
      corners.push(now);
      drawLine();
    } else if (fingers.size === 1) {
      panBy(now[0] - before[0], now[1] - before[1]);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (p) => Math.max(Math.hypot(p[0] - other[0], p[1] - other[1]), 1);
      panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      zoomBy(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
  });

  /** @param {PointerEvent} event */
  const up = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (corners) {
      if (event.type === 'pointercancel') corners = [];
      endLasso();
    } else if (still && event.type === 'pointerup') {
      hover(nearest(...place(event), reach(event)));
    }
  };
  stage.addEventListener('pointerup', up);
  stage.addEventListener('pointercancel', up);
  stage.addEventListener('pointerleave', (event) => {
    if (event.pointerType !== 'touch' && !fingers.size) hover(-1);
  });
  stage.addEventListener('dblclick', (event) => {
    event.preventDefault();
    zoomBy(2, ...place(event));
  });
  stage.addEventListener('wheel', (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    zoomBy(Math.exp(-Math.max(-400, Math.min(400, event.deltaY * lines)) / 400), ...place(event));
  }, {passive: false});
}

/**
 * @param {HTMLElement} stage
 */
function followKeys(stage) {
  const step = 60;
  /** @type {{[key: string]: () => void}} */
  const acts = {
    ArrowLeft: () => panBy(step, 0),
    ArrowRight: () => panBy(-step, 0),
    ArrowUp: () => panBy(0, step),
    ArrowDown: () => panBy(0, -step),
    '+': () => zoomBy(1.4),
    '=': () => zoomBy(1.4),
    '-': () => zoomBy(1 / 1.4),
    _: () => zoomBy(1 / 1.4),
    0: resetView,
    l: () => setLasso(!state.lasso),
    L: () => setLasso(!state.lasso),
    Escape: () => {
      hover(-1);
      if (state.lasso) setLasso(false);
      else selectCells([]);
    },
  };
  stage.addEventListener('keydown', (event) => {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });
}
