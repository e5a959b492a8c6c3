'use strict';
// The panel about selected cells.

/** @param {number} share @returns {string} */
const percent = (share) => `${(share * 100).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`;

/**
 * A table, best first, with a bar behind its last column's numbers.
 * @param {string} title
 * @param {string[]} heads
 * @param {Difference[]} rows
 * @param {(row: Difference) => (Node | string)[]} cellsOfRow
 * @param {(row: Difference) => number} lengthOf from 0 to 1
 * @returns {HTMLElement}
 */
function differences(title, heads, rows, cellsOfRow, lengthOf) {
  const body = rows.map((row) => {
    const [first, ...others] = cellsOfRow(row);
    const cells = others.map((cell) => make('td', {className: 'num'}, [cell]));
    const bar = make('i', {className: row.score < 0 ? 'below' : 'above'});
    bar.style.width = `${Math.min(lengthOf(row), 1) * 100}%`;
    const head = make('th', {scope: 'row'}, [first, bar]);
    return make('tr', {}, [head, ...cells]);
  });
  const head = heads.map((text, i) => make('th', {scope: 'col', className: i ? 'num' : '', textContent: text}));
  const table = make('table', {}, [
    make('caption', {textContent: title}), make('thead', {}, [make('tr', {}, head)]), make('tbody', {}, body),
  ]);
  const broad = [...table.querySelectorAll('td')].some((cell) => cell.textContent.length > 9);
  return make('div', {className: broad ? 'scroll broad' : 'scroll'}, [table]);
}

/** @param {Field} field @param {string} text @returns {HTMLElement} what colours the map by the field */
function coloured(field, text) {
  const button = make('button', {type: 'button', className: 'link'}, [named(text)]);
  button.title = `Colour by ${field.name}`;
  button.addEventListener('click', () => colourBy(field));
  return button;
}

/** @param {NonNullable<Awaited<ReturnType<typeof compare>>>} told @returns {HTMLElement[]} */
function tablesOf(told) {
  const tables = [];
  if (told.categories.length) {
    tables.push(differences('More frequent here', ['', 'here', 'elsewhere'], told.categories, (row) => [
      make('span', {}, [make('small', {}, [named(brief(row.field.name)), ' ']), coloured(row.field, row.name)]),
      percent(row.here), percent(row.there),
    ], (row) => row.score));
  }
  if (told.numbers.length) {
    const most = Math.max(...told.numbers.map((row) => Math.abs(row.score)).filter(Number.isFinite), 1);
    tables.push(differences('Means', ['', 'here', 'elsewhere', 'in SD'], told.numbers, (row) => [
      coloured(row.field, row.name), ...pairWords(row), signedWords(row.score),
    ], (row) => Math.abs(row.score) / most));
  }
  const genes = [...told.more, ...told.less];
  const most = Math.max(...genes.map((row) => Math.abs(row.score)));
  const text = alike(most, GENE_DIGITS);
  for (const [title, rows] of [['Genes that contribute more', told.more], ['Genes that contribute less', told.less]]) {
    if (rows.length) {
      tables.push(differences(title, ['', 'here', 'elsewhere'], rows, (row) => [
        coloured(row.field, row.name), text(row.here), text(row.there),
      ], (row) => Math.abs(row.score) / most));
    }
  }
  return tables;
}

/** @param {number} value @returns {string} */
function signedWords(value) {
  return Number.isFinite(value) ? `${value > 0 ? '+' : '-'}${Math.abs(value).toFixed(2)}` : 'apart';
}

/** @param {Difference} row @returns {string[]} its two means */
const pairWords = ({here, there}) => [here, there].map(alike(Math.max(Math.abs(here), Math.abs(there))));

/** @returns {Promise<string[]>} */
async function selectedNames() {
  const names = await loadNames();
  return names.filter((_, i) => state.selected[i]);
}

/**
 * Put text on the clipboard, from a file too.
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Where the page may not, the older way still works after a click.
    const area = make('textarea', {value: text, className: 'unseen'});
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** @param {HTMLButtonElement} button @param {() => Promise<string> | string} textOf */
function copyOnClick(button, textOf) {
  const label = button.textContent;
  button.addEventListener('click', async () => {
    button.textContent = await copyText(await textOf()) ? 'Copied' : 'Not copied';
    setTimeout(() => { button.textContent = label; }, 1600);
  });
}

/** Work on the newest selection; what `lexicellReport.idle` waits for. @type {Promise<void>} */
let comparing = Promise.resolve();

/**
 * @param {HTMLElement} panel
 * @param {HTMLElement} said
 * @param {HTMLElement} tables
 */
function keepPanel(panel, said, tables) {
  let version = 0;
  const refresh = async () => {
    version += 1;
    const mine = version;
    panel.hidden = !state.pickedCount;
    for (const id of ['copy', 'download']) at(id).disabled = !state.selectedCount;
    if (!state.selectedCount) {
      said.textContent = `${several(state.pickedCount, 'cell')} selected, all of them hidden.`;
      tables.replaceChildren();
      return;
    }
    const lost = state.pickedCount - state.selectedCount;
    const more = `${several(lost, 'selected cell')} more ${lost === 1 ? 'is' : 'are'}`;
    const hidden = lost ? ` ${more} hidden, and not compared.` : '';
    const drawn = meta.total > meta.n
      ? ` Shares and means are of the drawn sample of ${meta.n.toLocaleString('en')} of ${several(meta.total, 'cell')}, `
        + 'in which small groups have more than their share.'
      : '';
    const rest = state.shownCount - state.selectedCount;
    if (!rest) {
      const all = several(state.shownCount, 'shown cell');
      said.textContent = `All ${all} are selected: there are no others to compare with.${hidden}`;
      tables.replaceChildren();
      return;
    }
    const others = several(rest, 'cell');
    said.textContent = `${several(state.selectedCount, 'cell')}, compared with the other ${others} that are shown.`
      + hidden + drawn;
    const told = await compare(() => mine !== version);
    if (told) tables.replaceChildren(...tablesOf(told));
  };
  const start = () => { comparing = refresh(); };
  listen('selected', start);
  listen('shown', () => { if (state.pickedCount) start(); });
  at('clear').addEventListener('click', () => {
    selectCells([]);
    at('stage').focus({preventScroll: true});
  });
  copyOnClick(at('copy'), async () => (await selectedNames()).join('\n'));
  at('download').addEventListener('click', async () => {
    const url = URL.createObjectURL(new Blob([`${(await selectedNames()).join('\n')}\n`], {type: 'text/plain'}));
    make('a', {href: url, download: 'cells.txt'}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });
}
