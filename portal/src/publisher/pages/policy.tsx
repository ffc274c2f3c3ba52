import { Button, Group, Stack, Text } from '@mantine/core';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { xml } from '@codemirror/lang-xml';
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { EditorView, keymap, lineNumbers } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { nonce } from '../../shared/mount';
import { Loading, Page, Problem } from '../../shared/ui';
import { call, useService, type Resource } from '../api';
import { useConflict } from '../form';

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

/** Line and column as the server's messages name them. */
function positions(error: Failure): { line: number; column: number; message: string }[] {
  return [{ message: error.message }, ...error.details].flatMap(({ message }) => {
    const at = /line (\d+)(?:, (?:column|position) (\d+))?/i.exec(message);
    return at ? [{ line: Number(at[1]), column: Number(at[2] ?? 1), message }] : [];
  });
}

export function PolicyEditor({ path }: { path: string }) {
  const { t } = useTranslation();
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const [stored, setStored] = useState<{ value: string; etag: string | null }>();
  const [error, setError] = useState<unknown>();
  const [saved, setSaved] = useState(false);
  const [busy, setBusy] = useState(false);
  const [reload, setReload] = useState(0);
  const { dialog, guard } = useConflict();

  useEffect(() => {
    let current = true;
    call<Resource<{ value: string }>>('GET', `${path}?format=rawxml`)
      .then(({ data, etag }) => ({ value: data.properties.value, etag }), (e: unknown) => {
        if (e instanceof Failure && e.status === 404) return { value: EMPTY, etag: null };
        throw e;
      })
      .then((found) => current && setStored(found), (e: unknown) => current && setError(e));
    return () => { current = false; };
  }, [path, reload]);

  useEffect(() => {
    if (!host.current || !stored) return;
    const editor = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: stored.value,
        extensions: [
          lineNumbers(), history(), bracketMatching(), xml(), syntaxHighlighting(colours),
          // Tab stays what moves the focus, as everywhere on the page.
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.cspNonce.of(nonce),
          EditorView.contentAttributes.of({ 'aria-label': t('Policies') }),
          EditorView.theme({ '&': { backgroundColor: 'var(--mantine-color-body)', color: 'var(--mantine-color-text)' }, '.cm-gutters': { backgroundColor: 'var(--mantine-color-body)', color: 'var(--mantine-color-dimmed)' }, '.cm-content': { caretColor: 'var(--mantine-color-text)', minHeight: '240px' } }),
        ],
      }),
    });
    view.current = editor;
    return () => editor.destroy();
  }, [stored, t]);

  const show = (failure: unknown) => {
    setError(failure);
    const editor = view.current;
    if (!editor || !(failure instanceof Failure)) return;
    const found: Diagnostic[] = positions(failure).flatMap(({ line, column, message }) => {
      if (line < 1 || line > editor.state.doc.lines) return [];
      const at = editor.state.doc.line(line);
      return [{ from: Math.min(at.from + column - 1, at.to), to: at.to, severity: 'error' as const, message }];
    });
    editor.dispatch(setDiagnostics(editor.state, found));
    if (found[0]) {
      editor.dispatch({ selection: { anchor: found[0].from }, scrollIntoView: true });
      editor.focus();
    }
  };
  const save = async () => {
    const editor = view.current;
    if (!editor || !stored) return;
    const value = editor.state.doc.toString();
    editor.dispatch(setDiagnostics(editor.state, []));
    await guard(path, { value }, async (tag) => {
      const reply = await call('PUT', path, { properties: { format: 'rawxml', value } }, tag);
      // Not through `stored`: the caret would jump.
      stored.etag = reply.etag;
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
  return (
    <Stack>
      {error !== undefined && <Problem error={error} />}
      {stored ? <div ref={host} /> : error === undefined && <Loading />}
      <Group>
        <Button type="button" loading={busy} disabled={!stored} onClick={() => run(save)}>{t('Save the policies')}</Button>
        {stored?.etag && <Button type="button" variant="default" onClick={() => run(remove)}>{t('Remove the policies')}</Button>}
        {saved && <Text role="status">{t('Saved.')}</Text>}
      </Group>
      {dialog}
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
