// Fails when a text that the portals show has no Czech translation, or a translation is of no text any more.
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../', import.meta.url);
const translations = JSON.parse(readFileSync(new URL('cs.json', import.meta.url), 'utf8'));
const used = new Set();
for (const name of readdirSync(folder, { recursive: true })) {
  if (!/\.tsx?$/.test(name) || name.includes('.gen.')) continue;
  const source = readFileSync(new URL(name, folder), 'utf8');
  for (const match of source.matchAll(/\b(?:t|tx)\(\s*'((?:[^'\\]|\\.)*)'/g)) used.add(match[1].replaceAll("\\'", "'"));
}
const missing = [...used].filter((text) => !translations[text]);
const states = JSON.parse(readFileSync(new URL('states.json', import.meta.url), 'utf8'));
const unused = Object.keys(translations).filter((text) => !used.has(text) && !states.includes(text));
for (const text of [...missing, ...states.filter((text) => !translations[text])]) console.error(`not translated: ${text}`);
for (const text of unused) console.error(`no longer used: ${text}`);
process.exit(missing.length + unused.length > 0 ? 1 : 0);
