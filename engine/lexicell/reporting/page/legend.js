'use strict';
// What colours mean; and which cells are shown.

/** More categories than these can be searched. */
const SEARCHED = 20;

/**
 * Cells of each category, and of none, that are shown.
 * @param {Field} field
 * @param {any} values
 * @returns {number[]}
 */
function shownCounts(field, values) {
  const counts = new Array(field.names.length + 1).fill(0);
  for (let i = 0; i < meta.n; i += 1) {
    if (state.shown[i]) counts[values[i] === field.missing ? field.names.length : values[i]] += 1;
  }
  return counts;
}

/** @param {Field} field @returns {Set<number>} */
function hiddenOf(field) {
  const filter = state.filters.get(field.key);
  return filter?.kind === 'categories' ? filter.hidden : new Set();
}

/**
 * @param {HTMLElement} legend
 * @param {Field} field
 * @param {any} values
 * @returns {() => void} what brings its counts and ticks up to date
 */
function categoriesLegend(legend, field, values) {
  const present = shownCountsOfAll(field, values);
  const codes = field.names.map((_, code) => code);
  if (present[field.names.length]) codes.push(field.missing);
  const colours = paint(field, values, null, themeNow()).colours;
  const hide = (hidden) => filterBy(field, {kind: 'categories', hidden});
  const rows = codes.map((code, i) => {
    const none = code === field.missing;
    const name = none ? missingName(field) : field.names[code];
    const box = make('input', {type: 'checkbox'});
    box.addEventListener('change', () => {
      const hidden = new Set(hiddenOf(field));
      if (box.checked) hidden.delete(code);
      else hidden.add(code);
      hide(hidden);
    });
    const swatch = make('span', {className: 'swatch'});
    swatch.style.background = colours[i];
    const count = make('span', {className: 'count'});
    const only = make('button', {type: 'button', textContent: 'only', title: `Show only ${name}`});
    only.setAttribute('aria-label', `Show only ${name}`);
    only.addEventListener('click', () => hide(new Set(codes.filter((other) => other !== code))));
    const select = make('button', {type: 'button', textContent: 'select', title: `Select ${name}`});
    select.setAttribute('aria-label', `Select the cells of ${name}`);
    select.addEventListener('click', () => selectCategory(field, code));
    const label = make('label', {}, [
      box, swatch, make('bdi', {className: none ? 'name none' : 'name', textContent: name}), count,
    ]);
    const item = make('li', {title: name}, [label, make('span', {className: 'acts'}, [only, select])]);
    return {code, box, count, item, total: none ? present[field.names.length] : field.totals[code]};
  });
  const all = make('button', {type: 'button', textContent: 'All'});
  all.addEventListener('click', () => hide(new Set()));
  const none = make('button', {type: 'button', textContent: 'None'});
  none.addEventListener('click', () => hide(new Set(codes)));
  const search = make('input', {type: 'search', placeholder: 'Find a group', hidden: codes.length <= SEARCHED});
  search.setAttribute('aria-label', 'Find a group');
  search.addEventListener('input', () => {
    const wanted = search.value.trim().toLowerCase();
    for (const row of rows) row.item.hidden = !row.item.title.toLowerCase().includes(wanted);
  });
  legend.append(
    search,
    make('p', {className: 'tools'}, [all, none, make('span', {className: 'count', textContent: 'shown of all'})]),
    make('ul', {}, rows.map((row) => row.item)),
  );
  return () => {
    const hidden = hiddenOf(field);
    const counts = shownCounts(field, values);
    for (const row of rows) {
      const shown = counts[row.code === field.missing ? field.names.length : row.code];
      row.box.checked = !hidden.has(row.code);
      row.item.classList.toggle('off', hidden.has(row.code));
      const total = make('small', {textContent: ` / ${row.total.toLocaleString('en')}`});
      row.count.replaceChildren(shown.toLocaleString('en'), total);
    }
  };
}

/** Cells of each category, and of none, on this page. @param {Field} field @param {any} values @returns {number[]} */
function shownCountsOfAll(field, values) {
  const counts = new Array(field.names.length + 1).fill(0);
  for (const code of values) counts[code === field.missing ? field.names.length : code] += 1;
  return counts;
}

/** @param {Range} range @param {Field} field @returns {string} what the colours span */
function rangeWords(range, field) {
  const reach = `${fieldWords(field, range.least)} to ${fieldWords(field, range.most)}`;
  const [meaning, part] = {
    plain: ['', ''],
    signed: ['Blue raises, orange lowers; cells that do not use the gene are in between. ', '98 %'],
    rising: ['Cells that do not use the gene have the colour of 0. ', '99 %'],
  }[range.scale];
  let text = meaning;
  if (range.robust) {
    text += field.signed
      ? `Colours reach as far as ${part} of the cells that use the gene; contributions reach from ${reach}.`
      : `Colours span the 1st to the 99th percentile; values reach from ${reach}.`;
  }
  if (range.missing) {
    text += ` ${several(range.missing, 'cell')} without a value (missing), in grey; a bound hides them.`;
  }
  return text.trim();
}

/**
 * Where all values are alike, or there is none, no scale says anything.
 * @param {HTMLElement} legend
 * @param {Field} field
 * @param {Range} range
 * @param {string} colour
 */
function plainLegend(legend, field, range, colour) {
  if (range.count) {
    const swatch = make('span', {className: 'swatch'});
    swatch.style.background = colour;
    const name = make('span', {className: 'name', textContent: fieldWords(field, range.least)});
    legend.append(make('p', {className: 'alone'}, [swatch, name, make('span', {
      className: 'count', textContent: `${several(range.count, 'cell')}, all alike`,
    })]));
    if (range.missing) {
      const text = `${several(range.missing, 'cell')} without a value (missing), in grey.`;
      legend.append(make('p', {className: 'note', textContent: text}));
    }
  } else {
    legend.append(make('p', {
      textContent: field.signed ? 'No cell of this page uses the gene.' : 'There are no values: all cells miss one.',
    }));
  }
}

/**
 * @param {HTMLElement} legend
 * @param {Field} field
 * @param {Range} range
 * @returns {() => void} what brings its bounds up to date
 */
function numbersLegend(legend, field, range) {
  const stops = stopsOf(range, themeNow());
  if (!range.count || (!field.signed && range.least === range.most)) {
    plainLegend(legend, field, range, stops[0]);
    return () => {};
  }
  const most = Math.max(...range.bars, 1);
  const bars = make('div', {className: 'bars'}, range.bars.map((count) => {
    const bar = make('i');
    bar.style.height = `${Math.sqrt(count / most) * 100}%`;
    return bar;
  }));
  bars.setAttribute('aria-hidden', 'true');
  const scale = make('div', {className: 'scale'});
  scale.style.background = gradient(stops);
  const ends = range.scale === 'signed' ? [range.low, 0, range.high] : [range.low, range.high];
  const [from, to] = ['From', 'To'].map((name) => {
    const input = make('input', {type: 'number', step: 'any', placeholder: 'any'});
    input.id = `lx-${name.toLowerCase()}`;
    return input;
  });
  const read = (input, open) => (input.value.trim() === '' ? open : Number(input.value));
  const said = make('p', {className: 'said'});
  said.setAttribute('role', 'alert');
  const complain = (text) => {
    said.textContent = text;
    for (const input of [from, to]) input.setAttribute('aria-invalid', String(Boolean(text)));
  };
  const apply = () => {
    const [low, high] = [read(from, -Infinity), read(to, Infinity)];
    if (from.validity.badInput || to.validity.badInput) complain('A bound is a number, such as 0.5.');
    else if (low > high) complain(`No value is from ${words(low)} to ${words(high)}: the first bound is the larger.`);
    else filterBy(field, {kind: 'numbers', from: low, to: high});
  };
  from.addEventListener('change', apply);
  to.addEventListener('change', apply);
  const all = make('button', {type: 'button', textContent: 'All'});
  all.addEventListener('click', () => filterBy(field, null));
  legend.append(
    bars, scale,
    make('p', {className: 'ends'}, ends.map((end) => make('span', {textContent: fieldWords(field, end)}))),
    make('p', {className: 'note', textContent: rangeWords(range, field)}),
    make('div', {className: 'bounds'}, [
      make('label', {}, ['from', from]), make('label', {}, ['to', to]), all,
    ]),
    said,
  );
  return () => {
    complain('');
    const filter = state.filters.get(field.key);
    const [low, high] = filter?.kind === 'numbers' ? [filter.from, filter.to] : [-Infinity, Infinity];
    from.value = Number.isFinite(low) ? String(low) : '';
    to.value = Number.isFinite(high) ? String(high) : '';
  };
}

/** @param {HTMLElement} legend */
function keepLegend(legend) {
  let refresh = () => {};
  const build = () => {
    legend.replaceChildren();
    const {field, values, range} = state;
    refresh = () => {};
    if (!field) return;
    const title = named(field.name);
    legend.append(make('h3', {}, field.origin === 'gene' ? ['Contribution of ', title] : [title]));
    refresh = field.kind === 'categories'
      ? categoriesLegend(legend, field, values)
      : numbersLegend(legend, field, range);
    if (field.note) legend.append(make('p', {className: 'note', textContent: brief(field.note, 400), title: field.note}));
    refresh();
  };
  listen('colour', build);
  listen('shown', () => refresh());
}

/** Filters of all fields in words, each with a button that removes it. @param {HTMLElement} chips */
function keepChips(chips) {
  listen('shown', () => {
    const rows = [...state.filters].map(([key, filter]) => {
      const field = fields.get(key);
      const open = (bound) => (Number.isFinite(bound) ? fieldWords(field, bound) : 'any');
      const what = filter.kind === 'categories'
        ? `${several(filter.hidden.size, 'group')} hidden`
        : `${open(filter.from)} to ${open(filter.to)}`;
      const chip = make('button', {type: 'button', title: field.name}, [named(brief(field.name)), `: ${what} ×`]);
      chip.setAttribute('aria-label', `Remove the filter ${field.name}: ${what}`);
      chip.addEventListener('click', () => filterBy(field, null));
      return chip;
    });
    if (rows.length > 1) {
      const all = make('button', {type: 'button', textContent: 'Show all'});
      all.addEventListener('click', clearFilters);
      rows.push(all);
    }
    chips.replaceChildren(...rows);
  });
}
