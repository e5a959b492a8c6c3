'use strict';
// Draws points on a plain canvas: without WebGL, and for paper.

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @param {Paint} painted
 * @param {{width: number, height: number, ratio: number}} size in CSS pixels, and how many pixels one has
 * @returns {CanvasRenderingContext2D}
 */
function drawFlat(canvas, positions, painted, {width, height, ratio}) {
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  const r = pointSize() * growth() / 2;
  const fade = faded();
  const draw = (cell) => {
    if (!state.shown[cell]) return;
    const [px, py] = toPixels(positions.x[cell], positions.y[cell]);
    if (px < -r || py < -r || px > width + r || py > height + r) return;
    context.globalAlpha = state.selectedCount && !state.selected[cell] ? fade : 0.85;
    context.fillStyle = painted.colours[painted.codes[cell]];
    if (r < 1.6) {
      context.fillRect(px - r, py - r, 2 * r, 2 * r);
    } else {
      context.beginPath();
      context.arc(px, py, r, 0, 2 * Math.PI);
      context.fill();
    }
  };
  if (painted.order) painted.order.forEach(draw);
  else for (let cell = 0; cell < meta.n; cell += 1) draw(cell);
  return context;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @returns {Renderer}
 */
function flatRenderer(canvas, positions) {
  /** @type {Paint | null} */
  let painted = null;
  let asked = false;
  const redraw = () => {
    if (asked || !painted) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      drawFlat(canvas, positions, painted, {...stageSize, ratio: window.devicePixelRatio || 1});
    });
  };
  return {
    resize: redraw,
    recolour(paintNow) {
      painted = paintNow;
      redraw();
    },
    refilter: redraw,
    reselect: redraw,
    review: redraw,
    idle: () => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(() => done())); }),
  };
}
