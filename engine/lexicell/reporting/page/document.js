'use strict';
// The rest of the page: buttons in its text, and paper.

/** @param {{x: Float32Array, y: Float32Array}} positions */
function keepDocument(positions) {
  for (const button of document.querySelectorAll('[data-copy]')) {
    button.hidden = false;
    copyOnClick(button, () => button.parentElement.querySelector('pre').textContent);
  }
  for (const button of document.querySelectorAll('[data-category]')) {
    const field = columnFields[meta.group];
    const code = Number(button.dataset.category);
    button.hidden = false;
    button.addEventListener('click', async () => {
      if (state.field !== field) await colourBy(field);
      if (state.filters.size) await clearFilters();
      await selectCategory(field, code);
      document.getElementById('cells').scrollIntoView({behavior: calm() ? 'auto' : 'smooth'});
      at('stage').focus({preventScroll: true});
    });
  }
  // A box that does not scroll needs no stop for the Tab key.
  const watch = new ResizeObserver((entries) => {
    for (const {target} of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  });
  for (const box of document.querySelectorAll('.scroll, pre')) watch.observe(box);
  /** @type {Element[]} Those that are only open for paper. */
  let openedForPaper = [];
  window.addEventListener('beforeprint', () => {
    openedForPaper = [...document.querySelectorAll('details:not([open])')];
    for (const details of openedForPaper) details.open = true;
    drawForPaper(positions);
  });
  window.addEventListener('afterprint', () => {
    for (const details of openedForPaper) details.open = false;
  });
}

/** @returns {boolean} whether motion is unwelcome */
const calm = () => window.matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Paper is white, whatever the screen is. @param {{x: Float32Array, y: Float32Array}} positions */
function drawForPaper(positions) {
  const painted = paint(state.field, state.values, state.range, 'light');
  const context = drawFlat(at('print'), positions, painted, {...stageSize, ratio: 2});
  if (at('names').getAttribute('aria-pressed') === 'true') drawNames(context, positions);
  const swatches = at('legend').querySelectorAll('.swatch');
  swatches.forEach((swatch, i) => swatch.style.setProperty('--on-paper', painted.colours[i]));
  const scale = at('legend').querySelector('.scale');
  scale?.style.setProperty('--on-paper', gradient(stopsOf(state.range, 'light')));
}

/**
 * What changed, for those who can't see it.
 * @param {HTMLElement} status
 * @returns {(...parts: (Node | string)[]) => void} what says something else
 */
function keepStatus(status) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const say = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const shown = state.shownCount === meta.n
        ? `${several(meta.n, 'cell')} shown`
        : `${state.shownCount.toLocaleString('en')} of ${several(meta.n, 'cell')} shown`;
      const lost = state.pickedCount - state.selectedCount;
      const hidden = lost ? `, ${lost.toLocaleString('en')} of them hidden` : '';
      const picked = state.pickedCount ? `, ${state.pickedCount.toLocaleString('en')} selected${hidden}` : '';
      const hint = state.lasso ? ' Draw around cells to select them.' : '';
      status.replaceChildren(`${shown}${picked}, coloured by `, named(brief(state.field?.name ?? 'nothing')), `.${hint}`);
    }, 100);
  };
  for (const what of ['colour', 'shown', 'selected', 'lasso']) listen(what, say);
  return (...parts) => {
    clearTimeout(timer);
    timer = setTimeout(() => { status.replaceChildren(...parts); }, 100);
  };
}
