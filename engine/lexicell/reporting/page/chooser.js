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
 */
function keepChooser(select, box, input, list) {
  const option = (field) => make('option', {value: field.key, textContent: field.name});
  const group = (label, members) => {
    const element = make('optgroup', {label}, members.map(option));
    if (members.length) select.append(element);
  };
  select.append(make('option', {value: '', textContent: 'one colour'}));
  for (const [origin, label] of ORIGINS) group(label, columnFields.filter((field) => field.origin === origin));
  const searched = geneFields.length > LISTED;
  if (searched) {
    box.hidden = false;
    list.append(...geneFields.map((field) => make('option', {value: field.name})));
  } else {
    group('Contributions of genes', geneFields);
  }
  select.addEventListener('change', () => colourBy(fields.get(select.value) ?? null));
  const choose = () => {
    const name = input.value.trim().toLowerCase();
    const field = geneFields.find((gene) => gene.name.toLowerCase() === name);
    input.setAttribute('aria-invalid', String(Boolean(name) && !field));
    if (field && field !== state.field) colourBy(field);
  };
  input.addEventListener('change', choose);
  input.addEventListener('input', () => {
    if (geneFields.some((gene) => gene.name === input.value)) choose();
    else input.removeAttribute('aria-invalid');
  });
  const other = make('option', {value: 'gene', hidden: true});
  select.append(other);
  listen('colour', () => {
    const gene = searched && state.field?.origin === 'gene';
    other.textContent = gene ? `${state.field.name}, a gene` : '';
    other.hidden = !gene;
    select.value = gene ? 'gene' : state.field?.key ?? '';
    input.value = gene ? state.field.name : '';
    input.removeAttribute('aria-invalid');
  });
}
