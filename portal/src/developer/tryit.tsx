import { Badge, Button, Card, Code, Grid, Group, NativeSelect, Stack, Table, Text, TextInput } from '@mantine/core';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Copy, Loaded, Page, Problem } from '../shared/ui';
import { address, ask, BASE, useAsk, type ApiPage as Api, type Operation, type Parameter, type Reply, type Representation } from './api';
import { BodyFields, bytesOf, contentOf, fieldsOf, type Body } from './body';
import { Html } from './content';
import { CredentialFields, NO_CREDENTIAL, type Credential } from './credential';
import { SAMPLES, type Sent } from './samples';
import { Socket } from './socket';

/** From how many operations on they are worth filtering. */
const MANY = 8;

export function ApiPage() {
  const { t } = useTranslation();
  const { api = '' } = useParams({ strict: false });
  const { operation } = useSearch({ strict: false }) as { operation?: string };
  const query = useAsk('/apis/{api}', { path: { api } });
  // Kept while one goes from operation to operation.
  const [credential, setCredential] = useState<Credential>(NO_CREDENTIAL);
  const [filter, setFilter] = useState('');
  return (
    <Loaded query={query}>
      {(a) => {
        const wanted = filter.trim().toLowerCase();
        const listed = a.operations.filter((o) => `${o.method} ${o.displayName} ${o.urlTemplate}`.toLowerCase().includes(wanted));
        const chosen = a.operations.find((o) => o.name === operation) ?? a.operations[0];
        return (
          <Page title={a.displayName}>
            {a.descriptionHtml && <Html html={a.descriptionHtml} />}
            <Text size="sm">{t('Base URL')}: <Code>{a.type === 'websocket' ? a.baseUrl.replace(/^http/, 'ws') : a.baseUrl}</Code></Text>
            {a.products.length > 0 && <Text size="sm">{t('Products')}: {a.products.map((p, i) => <span key={p.name}>{i > 0 && ', '}<Link to="/products/$product" params={{ product: p.name }}>{p.displayName}</Link></span>)}</Text>}
            <Group gap="md">
              <Text size="sm">{t('OpenAPI document')}: <a href={BASE + address('/apis/{api}/openapi', { path: { api: a.name } })}>JSON</a>, <a href={BASE + address('/apis/{api}/openapi', { path: { api: a.name }, query: { format: 'openapi' } })}>YAML</a></Text>
              <Link to="/apis/$api/issues" params={{ api: a.name }}>{t('Issues')}</Link>
            </Group>
            <Grid>
              <Grid.Col span={{ base: 12, sm: 3 }} component="nav" aria-label={t('Operations')}>
                {a.operations.length > MANY && <TextInput aria-label={t('Filter the operations')} placeholder={t('Filter the operations')} value={filter} onChange={(e) => setFilter(e.currentTarget.value)} mb="xs" />}
                {listed.map((o) => (
                  <Link key={o.name} to="/apis/$api" params={{ api: a.name }} search={{ operation: o.name }} className={`nav${o === chosen ? ' active' : ''}`} aria-current={o === chosen ? 'true' : undefined}>
                    <Code>{o.method}</Code> {o.displayName}
                  </Link>
                ))}
              </Grid.Col>
              <Grid.Col span={{ base: 12, sm: 9 }}>{a.type === 'websocket' ? <Socket api={a} credential={credential} setCredential={setCredential} /> : chosen ? <OperationView key={chosen.name} api={a} operation={chosen} credential={credential} setCredential={setCredential} /> : <Text>{t('The API has no operations.')}</Text>}</Grid.Col>
            </Grid>
          </Page>
        );
      }}
    </Loaded>
  );
}

/** The schema of a body, with the types that it names. */
function Types({ title, api, representation }: { title: string; api: Api; representation: Representation }) {
  const { t } = useTranslation();
  const document = api.schemas[representation.schemaId ?? ''] as Record<string, unknown> | string | null | undefined;
  const name = representation.typeName ?? '';
  const shown = typeof document === 'string' ? document : document?.[name];
  if (shown === undefined || shown === null) return null;
  // Types that the type names, directly or through others.
  const named = new Map<string, unknown>();
  const open: unknown[] = [shown];
  while (open.length > 0 && typeof document === 'object' && document) {
    for (const match of JSON.stringify(open.pop()).matchAll(/"\$ref":"[^"]*\/([^"/]+)"/g)) {
      if (named.has(match[1]) || match[1] === name || !(match[1] in document)) continue;
      named.set(match[1], document[match[1]]);
      open.push(document[match[1]]);
    }
  }
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));
  return (
    <details>
      <summary>{t('Schema')}: {title} <Code>{representation.contentType}</Code> <Code>{name}</Code></summary>
      <pre className="reply" tabIndex={0}>{text(shown)}</pre>
      {[...named].map(([other, value]) => <div key={other}><Text size="sm" fw={600}>{other}</Text><pre className="reply" tabIndex={0}>{text(value)}</pre></div>)}
    </details>
  );
}

function sampleOf(representation: Representation | undefined): string {
  const value = Object.values(representation?.examples ?? {})[0]?.value ?? representation?.sample;
  return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/** Fills a URL template; parameters that nobody named go nowhere. */
export function filled(template: string, path: Record<string, string>, query: Record<string, string>): string {
  const url = template.replace(/\{(\*?)([^{}]+)\}/g, (_, star: string, name: string) => (star ? encodeURI(path[name] ?? '') : encodeURIComponent(path[name] ?? '')));
  const more = Object.entries(query).filter(([, v]) => v !== '').map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v)}`).join('&');
  return more ? `${url}${url.includes('?') ? '&' : '?'}${more}` : url;
}

const defaults = (parameters: Parameter[] | undefined) => Object.fromEntries((parameters ?? []).map((p) => [p.name, p.defaultValue ?? ''])) as Record<string, string>;

function OperationView({ api, operation, credential, setCredential }: { api: Api; operation: Operation; credential: Credential; setCredential: (credential: Credential) => void }) {
  const { t } = useTranslation();
  const request = operation.request;
  const representations = request?.representations ?? [];
  const representation = representations[0];
  const hasBody = !['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(operation.method) || representation !== undefined;
  const [path, setPath] = useState(() => defaults(operation.templateParameters));
  const [query, setQuery] = useState(() => defaults(request?.queryParameters));
  const [headers, setHeaders] = useState<[string, string][]>(() => [
    ...(hasBody ? [['Content-Type', representation?.contentType ?? 'application/json'] as [string, string]] : []),
    ...(request?.headers ?? []).map((h) => [h.name, h.defaultValue ?? ''] as [string, string]),
  ]);
  const [body, setBody] = useState<Body>(() => ({ text: sampleOf(representation), file: null, fields: fieldsOf(representation?.formParameters) }));
  const [reply, setReply] = useState<{ reply: Reply; sent: Sent }>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [language, setLanguage] = useState('curl');
  const keyHeader = api.keyNames.header ?? 'Ocp-Apim-Subscription-Key';
  const template = operation.urlTemplate.startsWith('/') || operation.urlTemplate === '' ? operation.urlTemplate : `/${operation.urlTemplate}`;
  const url = api.baseUrl + filled(template, path, query);
  const contentType = headers.find(([n]) => n.toLowerCase() === 'content-type')?.[1] ?? '';
  const sent = (shown: string): Sent => ({
    method: operation.method,
    url,
    headers: [...headers.filter(([n]) => n), ...(shown ? [[keyHeader, shown] as [string, string]] : [])],
    content: hasBody ? contentOf(body, contentType) : undefined,
  });
  const chooseType = (type: string) => {
    const next = representations.find((r) => r.contentType === type);
    setHeaders(headers.map(([n, v]) => (n.toLowerCase() === 'content-type' ? [n, type] : [n, v])));
    setBody({ text: sampleOf(next), file: null, fields: fieldsOf(next?.formParameters) });
  };
  const send = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const { method, headers: pairs } = sent(credential.key);
      const content = hasBody ? await bytesOf(body, contentType) : {};
      const typed = pairs.map(([n, v]): [string, string] => (n.toLowerCase() === 'content-type' ? [n, content.contentType ?? v] : [n, v]));
      setReply({ reply: await ask('post', '/relay', { body: { method, url, headers: typed, body: content.body ?? null, base64: content.base64 ?? null } }), sent: sent(credential.key ? '<key>' : '') });
    } catch (e) {
      setReply(undefined);
      setError(e);
    } finally {
      setBusy(false);
    }
  };
  const group = (label: string, parameters: Parameter[], values: Record<string, string>, set: (values: Record<string, string>) => void) =>
    parameters.length > 0 && (
      <Stack gap="xs" component="fieldset" m={0} p="xs" style={{ border: '1px solid var(--mantine-color-default-border)' }}>
        <Text component="legend" size="sm" fw={600}>{label}</Text>
        {parameters.map((p) =>
          p.values && p.values.length > 0 ? (
            <NativeSelect key={p.name} label={p.name} description={p.description ?? undefined} data={['', ...p.values]} value={values[p.name]} onChange={(e) => set({ ...values, [p.name]: e.currentTarget.value })} />
          ) : (
            <TextInput key={p.name} label={p.name} description={p.description ?? undefined} required={p.required ?? false} value={values[p.name]} onChange={(e) => set({ ...values, [p.name]: e.currentTarget.value })} />
          ),
        )}
      </Stack>
    );
  return (
    <Stack>
      <Group><Badge variant="outline" color="gray" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{operation.method}</Badge><Text component="h2" size="lg" fw={600}>{operation.displayName}</Text></Group>
      {operation.description && <Text>{operation.description.replace(/<[^>]*>/g, '')}</Text>}
      <Code block>{`${operation.method} ${api.baseUrl}${template}`}</Code>
      {operation.responses.length > 0 && (
        <Table aria-label={t('Responses')}>
          <Table.Thead><Table.Tr><Table.Th>{t('Status code')}</Table.Th><Table.Th>{t('Description')}</Table.Th></Table.Tr></Table.Thead>
          <Table.Tbody>{operation.responses.map((r) => <Table.Tr key={r.statusCode}><Table.Td>{r.statusCode}</Table.Td><Table.Td>{r.description}</Table.Td></Table.Tr>)}</Table.Tbody>
        </Table>
      )}
      {representation && <Types title={t('Request body')} api={api} representation={representation} />}
      {operation.responses.map((r) => r.representations?.[0]?.typeName && <Types key={r.statusCode} title={t('Response {{status}}', { status: r.statusCode })} api={api} representation={r.representations[0]} />)}
      <Card withBorder component="section" aria-label={t('Try it')}>
        <form onSubmit={(e) => { e.preventDefault(); void send(); }}>
          <Stack>
            <Text component="h3" fw={600}>{t('Try it')}</Text>
            {api.subscriptionRequired && <CredentialFields api={api} credential={credential} change={setCredential} />}
            {group(t('URL parameters'), operation.templateParameters, path, setPath)}
            {group(t('Query parameters'), request?.queryParameters ?? [], query, setQuery)}
            <Stack gap="xs">
              <Text size="sm" fw={600}>{t('Request headers')}</Text>
              {headers.map(([name, value], i) => {
                const set = (header: [string, string]) => setHeaders(headers.map((h, j) => (i === j ? header : h)));
                return (
                  <Group key={i} gap="xs" wrap="nowrap">
                    <TextInput aria-label={t('Name of header {{number}}', { number: i + 1 })} value={name} onChange={(e) => set([e.currentTarget.value, value])} />
                    <TextInput aria-label={t('Value of header {{number}}', { number: i + 1 })} value={value} flex={1} onChange={(e) => set([name, e.currentTarget.value])} />
                    <Button variant="default" aria-label={t('Remove header {{number}}', { number: i + 1 })} onClick={() => setHeaders(headers.filter((_, j) => i !== j))}>✕</Button>
                  </Group>
                );
              })}
              <Group><Button size="compact-sm" variant="default" onClick={() => setHeaders([...headers, ['', '']])}>{t('Add a header')}</Button></Group>
            </Stack>
            {representations.length > 1 && <NativeSelect label={t('Content type')} data={representations.map((r) => r.contentType)} value={contentType} onChange={(e) => chooseType(e.currentTarget.value)} />}
            {hasBody && <BodyFields body={body} contentType={contentType} change={setBody} />}
            <Text size="sm" className="mono">{operation.method} {url}</Text>
            <Group><Button type="submit" loading={busy}>{t('Send')}</Button></Group>
            {error !== undefined && <Problem error={error} />}
          </Stack>
        </form>
        {reply && <Answer reply={reply.reply} sent={reply.sent} />}
      </Card>
      <Card withBorder component="section" aria-label={t('Code samples')}>
        <Group justify="space-between">
          <Text component="h3" fw={600}>{t('Code samples')}</Text>
          <Group><NativeSelect aria-label={t('Language')} data={Object.keys(SAMPLES)} value={language} onChange={(e) => setLanguage(e.currentTarget.value)} /><Copy value={SAMPLES[language](sent(api.subscriptionRequired ? '<key>' : ''))} /></Group>
        </Group>
        <pre className="reply" tabIndex={0}>{SAMPLES[language](sent(api.subscriptionRequired ? '<key>' : ''))}</pre>
      </Card>
    </Stack>
  );
}

/** What the caller got. */
function Answer({ reply, sent }: { reply: Reply; sent: Sent }) {
  const { t } = useTranslation();
  const type = reply.headers.find(([n]) => n.toLowerCase() === 'content-type')?.[1] ?? '';
  let content = reply.text ?? '';
  try {
    content = JSON.stringify(JSON.parse(content), null, 2);
  } catch {
    // Not JSON: shown as it came.
  }
  return (
    <Stack mt="md" role="region" aria-label={t('Response')} aria-live="polite">
      <div><Text size="sm" fw={600}>{t('Requested URL')}</Text><Code className="mono" data-testid="requested-url">{reply.url}</Code></div>
      <div><Text size="sm" fw={600}>{t('Response status')}</Text><Text><strong data-testid="response-status">{reply.status} {reply.reason}</strong> · {t('{{time}} ms', { time: reply.milliseconds })}</Text></div>
      {reply.status === 429 && <Text role="alert">{t('The limit of calls is reached. Wait, then send again.')} {reply.headers.find(([n]) => n === 'retry-after')?.[1]} s</Text>}
      <div><Text size="sm" fw={600}>{t('Response headers')}</Text><pre className="reply" tabIndex={0} data-testid="response-headers">{reply.headers.map(([n, v]) => `${n}: ${v}`).join('\n')}</pre></div>
      <div><Text size="sm" fw={600}>{t('Response content')}</Text>{reply.base64 ? <Binary base64={reply.base64} type={type} /> : <pre className="reply" tabIndex={0} data-testid="response-content">{content}</pre>}</div>
      <Group><Text size="sm">curl</Text><Copy value={SAMPLES.curl(sent)} /></Group>
    </Stack>
  );
}

/** A content that is no text: an image is shown, anything can be saved. */
function Binary({ base64, type }: { base64: string; type: string }) {
  const { t } = useTranslation();
  const url = `data:${type.split(';')[0] || 'application/octet-stream'};base64,${base64}`;
  const count = (base64.length * 3) / 4 - (/=*$/.exec(base64)?.[0].length ?? 0);
  return (
    <Stack gap="xs" data-testid="response-content">
      {type.startsWith('image/') && <img src={url} alt={t('Response content')} className="picture" />}
      <Text size="sm">{t('{{count, number}} bytes that are no text', { count })} · <a href={url} download="content">{t('Save the content')}</a></Text>
    </Stack>
  );
}
