'use strict';
// What to colour by: columns in a list; genes in the list too while they are few, else in a field to search in.

const ORIGINS = [
  ['obs', 'Observations'],
  ['annotation', 'Annotation'],
  ['sentence', 'Likeness to sentences'],
  ['quality', 'Quality'],
];
/** More genes than these are searched for. */
const LISTED = 24;

/**
 * @param {HTMLSelectElement} select
 * @param {HTMLElement} box
 * @param {HTMLInputElement} input
 * @param {HTMLElement} list
 * @param {HTMLElement} said
 */
function keepChooser(select, box, input, list, said) {
  const option = (field) => make('option', {value: field.key, textContent: brief(field.name)});
  const group = (label, members) => {
    const element = make('optgroup', {label}, members.map(option));
    if (members.length) select.append(element);
  };
  select.append(make('option', {value: '', textContent: 'one colour'}));
  for (const [origin, label] of ORIGINS) group(label, columnFields.filter((field) => field.origin === origin));
  const searched = geneFields.length > LISTED;
  if (searched) {
    box.hidden = false;
    input.labels[0].textContent = `or by what one of ${several(geneFields.length, 'gene')} contributes`;
    list.append(...geneFields.map((field) => make('option', {value: field.name})));
  } else {
    group('Contributions of genes', geneFields);
  }
  select.addEventListener('change', () => colourBy(fields.get(select.value) ?? null));
  const inColour = () => (searched && state.field?.origin === 'gene' ? state.field.name : '');
  const choose = () => {
    const asked = input.value.trim();
    const field = geneFields.find((gene) => gene.name === asked)
      ?? geneFields.find((gene) => gene.name.toLowerCase() === asked.toLowerCase());
    said.replaceChildren();
    if (field && field !== state.field) {
      colourBy(field);
      return;
    }
    if (asked && !field) {
      const count = several(geneFields.length, 'gene');
      said.append(named(brief(asked)), ` is none of the ${count} that cells can be coloured by on this page; `,
        make('code', {textContent: '--color-gene'}), ' asks for it.');
    }
    // The box tells what the map shows.
    input.value = inColour();
  };
  input.addEventListener('change', choose);
  input.addEventListener('input', () => {
    said.replaceChildren();
    if (geneFields.some((gene) => gene.name === input.value)) choose();
  });
  const other = make('option', {value: 'gene', hidden: true});
  select.append(other);
  listen('colour', () => {
    const gene = inColour();
    other.textContent = gene ? `\u2068${gene}\u2069, a gene` : '';
    other.hidden = !gene;
    select.value = gene ? 'gene' : state.field?.key ?? '';
    input.value = gene;
    said.replaceChildren();
  });
}
