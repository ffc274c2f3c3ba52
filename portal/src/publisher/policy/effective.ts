const SECTIONS = ['inbound', 'backend', 'outbound', 'on-error'] as const;

/** A document of a scope, from the outermost; `xml` is missing where nobody wrote one. */
export interface Scoped {
  scope: string;
  xml?: string;
}

export interface Step {
  scope: string;
  xml: string;
}

/**
 * What a call runs, section by section, as the gateway combines it: each `<base />` stands for what the enclosing scopes
 * say, a section without one drops that, and a scope without a document inherits everything.
 */
export function effective(documents: Scoped[]): { section: string; steps: Step[] }[] {
  const combined = new Map<string, Step[]>(SECTIONS.map((s) => [s, []]));
  for (const { scope, xml } of documents) {
    if (xml === undefined) continue;
    const root = new DOMParser().parseFromString(xml, 'text/xml').documentElement;
    for (const section of SECTIONS) {
      const outer = combined.get(section) ?? [];
      const own = [...root.children].find((c) => c.nodeName === section);
      combined.set(section, [...(own?.children ?? [])].flatMap((child) => (child.nodeName === 'base' ? outer : [{ scope, xml: printed(child, outer) }])));
    }
  }
  return SECTIONS.map((section) => ({ section, steps: combined.get(section) ?? [] }));
}

/** An element as text; a `<base />` inside of it, such as in a branch, is resolved, too. */
function printed(element: Element, outer: Step[]): string {
  const copy = element.cloneNode(true) as Element;
  for (const base of [...copy.getElementsByTagName('base')]) {
    base.replaceWith(...outer.map((step) => copy.ownerDocument.importNode(new DOMParser().parseFromString(step.xml, 'text/xml').documentElement, true)));
  }
  return dedented(new XMLSerializer().serializeToString(copy));
}

function dedented(text: string): string {
  const indent = /\n([ \t]*)<\/[^<]*$/.exec(text)?.[1] ?? '';
  return text.split('\n').map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line)).join('\n');
}
