/** Limits of a product, in the units of the policies. */
export interface Limits {
  rate?: { calls: number; seconds: number };
  quota?: { calls?: number; kilobytes?: number; seconds: number };
}

/** Comments as blanks, so that what they hold is not found and positions stay. */
function masked(text: string): string {
  return text.replace(/<!--[\s\S]*?-->/g, (comment) => comment.replace(/[^\n]/g, ' '));
}

interface Tag {
  from: number;
  to: number;
  attributes: Map<string, string>;
  empty: boolean;
}

function opening(text: string, element: string): Tag | undefined {
  const found = new RegExp(`<${element}((?:\\s+[\\w-]+\\s*=\\s*(?:"[^"]*"|'[^']*'))*)\\s*(/?)>`).exec(masked(text));
  if (!found) return undefined;
  const attributes = new Map([...found[1].matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g)].map((m) => [m[1], m[2] ?? m[3]]));
  return { from: found.index, to: found.index + found[0].length, attributes, empty: found[2] === '/' };
}

/** The limits that a document sets for all its calls. */
export function limitsOf(text: string): Limits {
  const rate = opening(text, 'rate-limit');
  const quota = opening(text, 'quota');
  const number = (tag: Tag, name: string) => (tag.attributes.has(name) ? Number(tag.attributes.get(name)) : undefined);
  return {
    ...(rate ? { rate: { calls: number(rate, 'calls') ?? 0, seconds: number(rate, 'renewal-period') ?? 60 } } : {}),
    ...(quota ? { quota: { calls: number(quota, 'calls'), kilobytes: number(quota, 'bandwidth'), seconds: number(quota, 'renewal-period') ?? 0 } } : {}),
  };
}

/** The document with other limits; everything else in it stays as it is. */
export function withLimits(text: string, limits: Limits): string {
  const rate = limits.rate && { calls: limits.rate.calls, 'renewal-period': limits.rate.seconds };
  const quota = limits.quota && { calls: limits.quota.calls, bandwidth: limits.quota.kilobytes, 'renewal-period': limits.quota.seconds };
  return set(set(text, 'quota', quota), 'rate-limit', rate);
}

function set(text: string, element: string, wanted: Record<string, number | undefined> | undefined): string {
  const tag = opening(text, element);
  if (!wanted) {
    if (!tag) return text;
    const close = tag.empty ? tag.to : masked(text).indexOf(`</${element}>`, tag.to) + element.length + 3;
    const line = /[ \t]*$/.exec(text.slice(0, tag.from))?.[0].length ?? 0;
    const newline = text[close] === '\n' ? 1 : 0;
    return text.slice(0, tag.from - line) + text.slice(close + newline);
  }
  if (tag) {
    const attributes = tag.attributes;
    for (const [name, value] of Object.entries(wanted)) if (value === undefined) attributes.delete(name); else attributes.set(name, String(value));
    const printed = [...attributes].map(([name, value]) => ` ${name}="${value}"`).join('');
    return `${text.slice(0, tag.from)}<${element}${printed}${tag.empty ? ' /' : ''}>${text.slice(tag.to)}`;
  }
  const printed = `<${element}${Object.entries(wanted).filter(([, v]) => v !== undefined).map(([name, value]) => ` ${name}="${value}"`).join('')} />`;
  const inbound = opening(text, 'inbound');
  if (!inbound) return text.replace(/<policies\s*>/, `$&\n\t<inbound>\n\t\t<base />\n\t\t${printed}\n\t</inbound>`);
  if (inbound.empty) return `${text.slice(0, inbound.from)}<inbound>\n\t\t${printed}\n\t</inbound>${text.slice(inbound.to)}`;
  // After the enclosing scopes' policies, where there are any.
  const end = masked(text).indexOf('</inbound>', inbound.to);
  const base = /<base\s*\/>/.exec(masked(text).slice(inbound.to, end));
  const at = base ? inbound.to + base.index + base[0].length : inbound.to;
  return `${text.slice(0, at)}\n\t\t${printed}${text.slice(at)}`;
}
