import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';

/** A policy, as the workbench lists it. */
export interface PolicyElement {
  element: string;
  description: string;
  sections: string[];
  scopes: string[];
  example: string;
}

/** What the place in the document allows. */
export interface Known {
  policies: PolicyElement[];
  namedValues: string[];
}

/** The section in which a position stands; undefined outside of all. */
export function sectionAt(before: string): string | undefined {
  let section: string | undefined;
  for (const [, closing, name] of before.matchAll(/<(\/?)(inbound|backend|outbound|on-error)\s*>/g)) section = closing ? undefined : name;
  return section;
}

/** Names of the attributes that the examples of an element use. */
export function attributesOf(policies: PolicyElement[], element: string): string[] {
  const names = new Set<string>();
  const tag = new RegExp(`<${element}((?:\\s+[\\w-]+="[^"]*")*)`, 'g');
  for (const { example } of policies) for (const [, attributes] of example.matchAll(tag)) for (const [, name] of attributes.matchAll(/([\w-]+)="/g)) names.add(name);
  return [...names].sort();
}

/** An example, indented like the line that it goes to. */
export function indented(example: string, indent: string): string {
  return example.split('\n').join(`\n${indent}`);
}

/** Completes elements that may stand in the section, attributes of the examples, closing tags and named values. */
export function completions(known: () => Known) {
  return (context: CompletionContext): CompletionResult | null => {
    const before = context.state.sliceDoc(0, context.pos);
    const { policies, namedValues } = known();
    const value = /\{\{([\w.-]*)$/.exec(before);
    if (value) {
      return { from: context.pos - value[1].length, options: namedValues.map((name) => ({ label: name, type: 'variable', apply: `${name}}}` })), validFor: /^[\w.-]*$/ };
    }
    const tag = /<([\w-]*)$/.exec(before);
    if (tag) {
      const from = context.pos - tag[1].length;
      const section = sectionAt(before);
      const indent = /(?:^|\n)([ \t]*)<[\w-]*$/.exec(before)?.[1] ?? '';
      const options: Completion[] = policies
        .filter((p) => section === undefined || p.sections.includes(section))
        .map((p) => ({ label: p.element, detail: p.description, type: 'type', apply: indented(p.example.slice(1), indent) }));
      if (section === undefined) options.push(...['inbound', 'backend', 'outbound', 'on-error'].map((name) => ({ label: name, type: 'keyword', apply: `${name}>\n${indent}\t<base />\n${indent}</${name}>` })));
      return { from, options, validFor: /^[\w-]*$/ };
    }
    const attribute = /<([a-z][\w-]*)(?:\s+[\w-]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s+([\w-]*)$/.exec(before);
    if (attribute) {
      return { from: context.pos - attribute[2].length, options: attributesOf(policies, attribute[1]).map((name) => ({ label: name, type: 'property', apply: `${name}=""` })), validFor: /^[\w-]*$/ };
    }
    return null;
  };
}
