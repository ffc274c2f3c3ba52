// Fails when a text that the portals show has no Czech translation, or a translation is of no text any more.
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../', import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
// What the publisher portal alone shows stands in a file of its own.
const publisher = read('publisher.cs.json');
const shared = read('cs.json');
const english = read('en.json');
const translations = { ...shared, ...publisher };
/** The forms of a text that counts: one, few, many (of fractions) and other in Czech, one in English, where the text itself is the other. */
const forms = (text) => (text.includes('{{count') ? ['one', 'few', 'many', 'other'].map((form) => `${text}_${form}`) : [text]);
const used = new Set();
const elsewhere = new Set();
for (const name of readdirSync(folder, { recursive: true })) {
  if (!/\.tsx?$/.test(name) || name.includes('.gen.')) continue;
  const source = readFileSync(new URL(name, folder), 'utf8');
  for (const match of source.matchAll(/\b(?:t|tx)\(\s*'((?:[^'\\]|\\.)*)'/g)) {
    const text = match[1].replaceAll("\\'", "'");
    used.add(text);
    if (!name.startsWith('publisher')) elsewhere.add(text);
  }
}
const wanted = [...used].flatMap(forms);
const counted = [...used].filter((text) => text.includes('{{count')).map((text) => `${text}_one`);
const missing = [...wanted.filter((text) => !translations[text]), ...[...elsewhere].flatMap(forms).filter((text) => translations[text] && !shared[text]), ...counted.filter((text) => !english[text])];
const states = read('states.json');
const unused = [...Object.keys(translations).filter((text) => !wanted.includes(text) && !states.includes(text)), ...Object.keys(english).filter((text) => !counted.includes(text))];
for (const text of [...missing, ...states.filter((text) => !translations[text])]) console.error(`not translated: ${text}`);
for (const text of unused) console.error(`no longer used: ${text}`);
process.exit(missing.length + unused.length > 0 ? 1 : 0);
