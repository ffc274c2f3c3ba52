import { Badge, Button, Group, Select, Stack, Tabs, Text } from '@mantine/core';
import { autocompletion, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { xml } from '@codemirror/lang-xml';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure, positions } from '../../shared/failure';
import { nonce } from '../../shared/mount';
import { Loaded, Loading, Page, Problem } from '../../shared/ui';
import { call, useList, useService, type Resource, type Schemas, type Service } from '../api';
import { useConflict, useUnsaved } from '../form';
import { completions, indented, sectionAt, type PolicyElement } from '../policy/completion';
import { effective, type Scoped } from '../policy/effective';
import { Workbench } from '../policy/workbench';

/** How long nothing must have been typed before the server is asked what is wrong. */
const PAUSE_MS = 700;

/** What a new fragment begins with. */
export const FRAGMENT = '<fragment>\n\t<!-- -->\n</fragment>';

const EMPTY = `<policies>
\t<inbound>
\t\t<base />
\t</inbound>
\t<backend>
\t\t<base />
\t</backend>
\t<outbound>
\t\t<base />
\t</outbound>
\t<on-error>
\t\t<base />
\t</on-error>
</policies>`;

// Own colours: those that CodeMirror comes with miss WCAG's contrast.
const colours = HighlightStyle.define([
  { tag: tags.tagName, color: 'light-dark(#0b4f9e, #8ec5ff)' },
  { tag: tags.attributeName, color: 'light-dark(#7a3e00, #ffc98a)' },
  { tag: tags.attributeValue, color: 'light-dark(#0b6b2e, #9be7b0)' },
  { tag: tags.comment, color: 'light-dark(#545b64, #b3b8bf)' },
]);

/** `/`, `/products/{id}`, `/apis/{id}` or `/apis/{id}/operations/{id}`: whose document stands at a path. */
function scopeOf(service: Service, path: string): string {
  return path.slice(service.id.length).replace(/\/policies\/policy$/, '') || '/';
}

function kindOf(scope: string): string {
  if (scope === '/') return 'global';
  return scope.includes('/operations/') ? 'operation' : scope.startsWith('/apis/') ? 'api' : 'product';
}

function diagnostics(editor: EditorView, failure: Failure): Diagnostic[] {
  return positions(failure).flatMap(({ line, column, message }) => {
    if (line < 1 || line > editor.state.doc.lines) return [];
    const at = editor.state.doc.line(line);
    return [{ from: Math.min(at.from + column - 1, at.to), to: at.to, severity: 'error' as const, message: message.replace(/^(?:drafts\[0\]\.)?value is wrong at /, '') }];
  });
}

export function PolicyEditor({ path }: { path: string }) {
  const { t } = useTranslation();
  const service = useService();
  const client = useQueryClient();
  const scope = scopeOf(service, path);
  const inFragment = scope.startsWith('/policyFragments/');
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  /** What is saved, as the editor has it: with its own ends of lines. */
  const kept = useRef('');
  const [stored, setStored] = useState<{ value: string; etag: string | null; description?: string | null }>();
  const [error, setError] = useState<unknown>();
  const [saved, setSaved] = useState(false);
  const [busy, setBusy] = useState(false);
  const [reload, setReload] = useState(0);
  const [checked, setChecked] = useState<'fine' | 'wrong'>();
  const [problems, setProblems] = useState<Diagnostic[]>([]);
  const [chosen, setChosen] = useState<string | null>(null);
  const { dialog, guard } = useConflict();
  const policies = useQuery({
    queryKey: ['policies', service.id],
    queryFn: async () => (await call<{ value: PolicyElement[] }>('GET', `${service.id}/policyWorkbench`)).data.value,
    staleTime: Infinity,
  });
  const namedValues = useList<Schemas['NamedValueContract']>(`${service.id}/namedValues?$top=1000`);
  // Where a fragment is included decides what it may hold.
  const permitted = policies.data?.filter((p) => inFragment || p.scopes.includes(kindOf(scope))) ?? [];
  const known = useRef({ policies: permitted, namedValues: [] as string[] });
  known.current = { policies: permitted, namedValues: namedValues.data?.value.map((v) => v.properties.displayName) ?? [] };

  useEffect(() => {
    let current = true;
    call<Resource<{ value: string; description?: string | null }>>('GET', `${path}?format=rawxml`)
      .then(({ data, etag }) => ({ value: data.properties.value, description: data.properties.description, etag }), (e: unknown) => {
        if (e instanceof Failure && e.status === 404) return { value: EMPTY, etag: null };
        throw e;
      })
      .then((found) => current && setStored(found), (e: unknown) => current && setError(e));
    return () => { current = false; };
  }, [path, reload]);

  /** Asks the server, which alone knows, what is wrong with the draft; nothing is saved. */
  const check = useCallback(async (editor: EditorView) => {
    const doc = editor.state.doc;
    const found = await call('POST', `${service.id}/policyWorkbench`, { drafts: [{ scope, value: doc.toString(), format: 'rawxml' }], request: { url: '/' } }).then(
      () => [],
      (e: unknown) => (e instanceof Failure && e.status === 400 ? diagnostics(editor, e) : undefined),
    );
    // Typed on meanwhile: the next check counts.
    if (editor.state.doc !== doc || found === undefined) return;
    editor.dispatch(setDiagnostics(editor.state, found));
    setProblems(found);
    setChecked(found.length > 0 ? 'wrong' : 'fine');
  }, [service.id, scope]);

  useEffect(() => {
    if (!host.current || !stored) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const editor = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: stored.value,
        extensions: [
          lineNumbers(), history(), bracketMatching(), xml(), syntaxHighlighting(colours),
          autocompletion({ override: [completions(() => known.current)], icons: false }),
          // Tab stays what moves the focus, as everywhere on the page.
          keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged) return;
            setSaved(false);
            clearTimeout(timer);
            // The workbench knows no fragments; saving says what is wrong with one.
            if (!inFragment) timer = setTimeout(() => void check(update.view), PAUSE_MS);
          }),
          EditorView.cspNonce.of(nonce),
          EditorView.contentAttributes.of({ 'aria-label': t('Policies') }),
          EditorView.theme({
            '&': { backgroundColor: 'var(--mantine-color-body)', color: 'var(--mantine-color-text)' },
            '.cm-gutters': { backgroundColor: 'var(--mantine-color-body)', color: 'var(--mantine-color-dimmed)' },
            '.cm-content': { caretColor: 'var(--mantine-color-text)', minHeight: '240px' },
            '.cm-tooltip': { backgroundColor: 'var(--mantine-color-body)', color: 'var(--mantine-color-text)', border: '1px solid var(--mantine-color-default-border)' },
            '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--mantine-color-blue-8)', color: '#fff' },
            '.cm-completionDetail': { fontStyle: 'normal', marginLeft: '12px' },
            '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
          }),
        ],
      }),
    });
    view.current = editor;
    kept.current = editor.state.doc.toString();
    return () => { clearTimeout(timer); editor.destroy(); view.current = null; };
  }, [stored, t, check, inFragment]);
  const leaving = useUnsaved(() => view.current !== null && view.current.state.doc.toString() !== kept.current);

  const go = (to: Diagnostic) => {
    const editor = view.current;
    if (!editor) return;
    editor.dispatch({ selection: { anchor: Math.min(to.from, editor.state.doc.length) }, scrollIntoView: true });
    editor.focus();
  };
  const show = (failure: unknown) => {
    setError(failure);
    const editor = view.current;
    if (!editor || !(failure instanceof Failure)) return;
    const found = diagnostics(editor, failure);
    editor.dispatch(setDiagnostics(editor.state, found));
    setProblems([]);
    setChecked(undefined);
    if (found[0]) go(found[0]);
  };
  const save = async () => {
    const editor = view.current;
    if (!editor || !stored) return;
    const value = editor.state.doc.toString();
    editor.dispatch(setDiagnostics(editor.state, []));
    await guard(path, { value }, async (tag) => {
      const reply = await call('PUT', path, { properties: { format: 'rawxml', value, ...(inFragment ? { description: stored.description } : {}) } }, tag);
      // Not through a new `stored`: the caret would jump.
      stored.etag = reply.etag;
      kept.current = value;
      // What is opened next is asked for anew: the ETag of the fragment, who includes it. What is open stays, for the caret's sake.
      await client.invalidateQueries({ refetchType: 'none' });
      setSaved(true);
    }, stored.etag, () => setReload((n) => n + 1));
  };
  const remove = async () => {
    await call('DELETE', path, undefined, stored?.etag ?? '*');
    setReload((n) => n + 1);
  };
  const run = (work: () => Promise<unknown>) => {
    setBusy(true);
    setSaved(false);
    setError(undefined);
    work().catch(show).finally(() => setBusy(false));
  };
  /** Puts an example where the caret is, or at the end of the first section that permits it. */
  const insert = () => {
    const editor = view.current;
    const policy = permitted.find((p) => p.element === chosen);
    if (!editor || !policy) return;
    const text = editor.state.doc.toString();
    let at = editor.state.selection.main.head;
    const here = sectionAt(text.slice(0, at));
    if (inFragment) {
      // Before the end, where the caret is outside.
      const end = text.lastIndexOf('</fragment>');
      if (end >= 0 && (at > end || at < text.indexOf('>') + 1)) at = end;
    } else if (here === undefined || !policy.sections.includes(here)) {
      const end = policy.sections.map((s) => text.search(new RegExp(`[ \\t]*</${s}>`))).find((i) => i >= 0);
      if (end === undefined) return;
      at = end;
    } else {
      at = editor.state.doc.lineAt(at).to;
    }
    const before = text.slice(0, at).endsWith('\n') ? '' : '\n';
    const after = before ? '' : '\n';
    const inserted = `${before}\t\t${indented(policy.example, '\t\t')}${after}`;
    editor.dispatch({ changes: { from: at, insert: inserted }, selection: { anchor: at + inserted.length - after.length }, scrollIntoView: true });
    editor.focus();
  };
  return (
    <Stack>
      {error !== undefined && <Problem error={error} />}
      <Tabs defaultValue="document">
        <Tabs.List>
          <Tabs.Tab value="document">{t('Document')}</Tabs.Tab>
          {!inFragment && <Tabs.Tab value="effective">{t('Effective policies')}</Tabs.Tab>}
          {!inFragment && <Tabs.Tab value="workbench">{t('Workbench')}</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="document" pt="md">
          <Stack>
            <Group align="flex-end">
              <Select
                label={t('Insert a policy')}
                placeholder={t('Search')}
                searchable
                w={280}
                value={chosen}
                onChange={setChosen}
                data={permitted.filter((p) => p.element !== 'base').map((p) => ({ value: p.element, label: p.element }))}
                nothingFoundMessage={t('There is nothing here yet.')}
              />
              <Button type="button" variant="default" disabled={!chosen || !stored} onClick={insert}>{t('Insert')}</Button>
              {chosen && <Text size="sm" flex={1}>{permitted.find((p) => p.element === chosen)?.description}</Text>}
            </Group>
            {stored ? <div ref={host} /> : error === undefined && <Loading />}
            <Text size="xs" c="dimmed">{t('Ctrl+Space or < completes; Escape, then Tab, leaves the editor.')}</Text>
            <Stack gap={4} role="status">
              {checked === 'fine' && <Text size="sm">{t('The server finds nothing wrong with the draft.')}</Text>}
              {checked === 'wrong' && problems.map((p, i) => <Group key={i}><Button type="button" size="compact-xs" variant="default" onClick={() => go(p)}>{t('Show')}</Button><Text size="sm" c="var(--mantine-color-error)">{p.message}</Text></Group>)}
            </Stack>
            <Group>
              <Button type="button" loading={busy} disabled={!stored} onClick={() => run(save)}>{t('Save the policies')}</Button>
              {stored?.etag && !inFragment && <Button type="button" variant="default" onClick={() => run(remove)}>{t('Remove the policies')}</Button>}
              {saved && <Text role="status">{t('Saved.')}</Text>}
            </Group>
          </Stack>
        </Tabs.Panel>
        {!inFragment && <Tabs.Panel value="effective" pt="md" keepMounted={false}><Effective key={String(saved)} scope={scope} /></Tabs.Panel>}
        {!inFragment && <Tabs.Panel value="workbench" pt="md"><Workbench scope={scope} draft={() => view.current?.state.doc.toString() ?? stored?.value ?? ''} /></Tabs.Panel>}
      </Tabs>
      {dialog}
      {leaving}
    </Stack>
  );
}

/** What a call in a scope runs, with where each step comes from. Calls run what is saved, so this shows that. */
function Effective({ scope }: { scope: string }) {
  const { t } = useTranslation();
  const service = useService();
  const [product, setProduct] = useState<string | null>(null);
  const api = scope.startsWith('/apis/') ? scope.split('/').slice(0, 3).join('/') : undefined;
  const products = useList<Schemas['ProductContract']>(api && `${service.id}${api}/products`);
  const chain = ['/', ...(scope.startsWith('/products/') ? [scope] : []), ...(api && product ? [`/products/${product}`] : []), ...(api ? [api] : []), ...(api && scope !== api ? [scope] : [])];
  const query = useQuery({
    queryKey: ['effective', service.id, chain.join(' ')],
    queryFn: () =>
      Promise.all(chain.map(async (at): Promise<Scoped> => {
        const document = `${service.id}${at === '/' ? '' : at}/policies/policy`;
        return call<Resource<{ value: string }>>('GET', document).then(
          (r) => ({ scope: at, xml: r.data.properties.value }),
          (e: unknown) => { if (e instanceof Failure && e.status === 404) return { scope: at }; throw e; },
        );
      })),
    staleTime: 0,
  });
  return (
    <Stack>
      {api && (
        <Select label={t('Called through the product')} maw={320} value={product} clearable clearButtonProps={{ 'aria-label': t('none') }} placeholder={t('none')} onChange={setProduct}
          data={products.data?.value.map((p) => ({ value: p.name, label: p.properties.displayName })) ?? []} />
      )}
      <Loaded query={query}>
        {(documents) => effective(documents).map(({ section, steps }) => (
          <Stack key={section} gap={4} component="section" aria-label={section}>
            <Text component="h2" size="md" fw={600} className="mono">{section}</Text>
            {steps.length === 0 && <Text size="sm">{t('No policy.')}</Text>}
            {steps.map((step, i) => (
              <Group key={i} align="flex-start" wrap="nowrap">
                <Badge variant="outline" color="gray" tt="none" w={190} style={{ flexShrink: 0 }} styles={{ label: { color: 'var(--mantine-color-text)' } }}>{step.scope === '/' ? t('All APIs') : step.scope.split('/').slice(-2).join('/')}</Badge>
                <pre className="reply" tabIndex={0} style={{ flex: 1 }}>{step.xml}</pre>
              </Group>
            ))}
          </Stack>
        ))}
      </Loaded>
    </Stack>
  );
}

export function GlobalPolicy() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('Policies')}>
      <Text>{t('They apply to every call of this service; products, APIs and operations have their own.')}</Text>
      <PolicyEditor path={`${service.id}/policies/policy`} />
    </Page>
  );
}
