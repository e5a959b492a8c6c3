'use strict';
// Which part of the map is seen. Pixels are CSS pixels of the stage.

/**
 * A point x, y of the map is `scale * x + x of the view` from the middle, in halves of the stage's height.
 * @typedef {{scale: number, x: number, y: number}} View
 */

const view = {scale: 1, x: 0, y: 0};
const stageSize = {width: 1, height: 1};
const ZOOM_MOST = 400;

/** @returns {number} the scale at which all of the map is seen */
function wholeScale() {
  const [wide, high] = meta.extent;
  const aspect = stageSize.width / stageSize.height;
  return 0.93 * Math.min(wide ? aspect / wide : Infinity, high ? 1 / high : Infinity, 1e3);
}

/** @param {View} next */
function setView(next) {
  const least = wholeScale();
  view.scale = Math.min(Math.max(next.scale, least * 0.5), least * ZOOM_MOST);
  // The map's middle stays where it can be seen.
  const aspect = stageSize.width / stageSize.height;
  const [wide, high] = meta.extent;
  const reach = (half, edge) => half * view.scale + edge * 0.5;
  view.x = Math.min(Math.max(next.x, -reach(wide, aspect)), reach(wide, aspect));
  view.y = Math.min(Math.max(next.y, -reach(high, 1)), reach(high, 1));
  tell('view');
}

const resetView = () => setView({scale: wholeScale(), x: 0, y: 0});

/**
 * Zoom by a factor; what is at a pixel stays there.
 * @param {number} factor
 * @param {number} [px]
 * @param {number} [py]
 */
function zoomBy(factor, px = stageSize.width / 2, py = stageSize.height / 2) {
  const least = wholeScale();
  const scale = Math.min(Math.max(view.scale * factor, least * 0.5), least * ZOOM_MOST);
  const half = stageSize.height / 2;
  const [x, y] = [(px - stageSize.width / 2) / half, (half - py) / half];
  const by = scale / view.scale;
  setView({scale, x: x - (x - view.x) * by, y: y - (y - view.y) * by});
}

/** @param {number} dx @param {number} dy in pixels */
function panBy(dx, dy) {
  const half = stageSize.height / 2;
  setView({scale: view.scale, x: view.x + dx / half, y: view.y - dy / half});
}

/** @param {number} x @param {number} y of the map @returns {number[]} pixels */
function toPixels(x, y) {
  const half = stageSize.height / 2;
  return [stageSize.width / 2 + (view.scale * x + view.x) * half, half - (view.scale * y + view.y) * half];
}

/** @param {number} px @param {number} py @returns {number[]} a point of the map */
function toMap(px, py) {
  const half = stageSize.height / 2;
  return [((px - stageSize.width / 2) / half - view.x) / view.scale, ((half - py) / half - view.y) / view.scale];
}

/** Diameter of points in pixels: smaller where there are many. @returns {number} */
function pointSize() {
  const spread = Math.sqrt(stageSize.width * stageSize.height / Math.max(state.shownCount, 1));
  return Math.min(Math.max(spread * 0.5, 2), 8);
}

/** How much larger points are when zoomed in. @returns {number} */
function growth() {
  const zoom = view.scale / wholeScale();
  return zoom > 1 ? Math.asinh(zoom) / Math.asinh(1) : 1;
}

/** @param {number} x @param {number} y of the map, to be in the middle, at least somewhat near */
function centreOn(x, y) {
  const scale = Math.max(view.scale, wholeScale() * 3);
  setView({scale, x: -x * scale, y: -y * scale});
}
