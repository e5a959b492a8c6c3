'use strict';
// Draws points by WebGL, through regl-scatterplot; pointers and keys are handled elsewhere, since it knows no touch.

/**
 * @typedef {{resize: () => void, recolour: (paint: Paint) => void, refilter: () => void, reselect: () => void,
 *   review: () => void, idle: () => Promise<void>}} Renderer
 */

/** @returns {boolean} whether WebGL has what regl-scatterplot asks for; it would complain on the console */
function hasWebGl() {
  const gl = document.createElement('canvas').getContext('webgl');
  const needed = ['OES_texture_float', 'OES_element_index_uint', 'WEBGL_color_buffer_float', 'EXT_float_blend'];
  const has = Boolean(gl) && needed.every((name) => gl.getExtension(name));
  gl?.getExtension('WEBGL_lose_context')?.loseContext();
  return has;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{x: Float32Array, y: Float32Array}} positions
 * @returns {Renderer}
 */
function glRenderer(canvas, positions) {
  const plot = window.createScatterplot.default({
    canvas,
    width: stageSize.width,
    height: stageSize.height,
    cameraIsFixed: true,
    actionKeyMap: {},
    deselectOnDblClick: false,
    deselectOnEscape: false,
    lassoInitiator: false,
    pointScaleMode: 'constant',
    opacityInactiveMax: faded(),
    pointOutlineWidth: 0,
    pointSizeSelected: 1,
    colorBy: 'valueA',
  });
  /** @type {Paint | null} */
  let painted = null;
  /** What is not drawn yet. */
  const stale = new Set();
  /** @type {Promise<void> | null} */
  let pumping = null;

  /** @param {Uint8Array} mask @returns {number[]} */
  const cellsOf = (mask) => {
    const cells = [];
    for (let i = 0; i < mask.length; i += 1) if (mask[i]) cells.push(i);
    return cells;
  };

  const filtering = () => (state.shownCount === meta.n ? undefined : cellsOf(state.shown));

  /** Draws of the library must not overlap: it refuses. */
  async function pump() {
    while (stale.size) {
      const now = new Set(stale);
      stale.clear();
      if (now.has('colour')) {
        await plot.set({
          pointColor: painted.colours, backgroundColor: PAPER[themeNow()], pointOrder: painted.order,
          opacityInactiveMax: faded(),
        });
        await plot.draw({...positions, valueA: painted.codes}, {
          zDataType: 'categorical',
          filter: filtering(),
          select: cellsOf(state.selected),
          spatialIndex: plot.get('spatialIndex'),
        });
        continue;
      }
      if (now.has('shown')) {
        const cells = filtering();
        await (cells ? plot.filter(cells, {preventEvent: true}) : plot.unfilter({preventEvent: true}));
      }
      if (now.has('shown') || now.has('selected')) {
        plot.deselect({preventEvent: true});
        plot.select(cellsOf(state.selected), {preventEvent: true});
      }
    }
    pumping = null;
  }

  /** @param {string} what */
  function mark(what) {
    if (!painted) return;
    stale.add(what);
    pumping ??= Promise.resolve().then(pump);
  }

  function size() {
    plot.set({pointSize: pointSize() * growth(), opacity: state.shownCount > 20000 ? 0.8 : 0.9});
  }

  function review() {
    size();
    plot.view([view.scale, 0, 0, 0, 0, view.scale, 0, 0, 0, 0, 1, 0, view.x, view.y, 0, 1], {preventEvent: true});
  }

  return {
    resize() {
      plot.set({width: stageSize.width, height: stageSize.height});
      review();
    },
    recolour(paintNow) {
      painted = paintNow;
      mark('colour');
    },
    refilter() {
      size();
      mark('shown');
    },
    reselect: () => mark('selected'),
    review,
    async idle() {
      while (pumping) await pumping;
    },
  };
}
