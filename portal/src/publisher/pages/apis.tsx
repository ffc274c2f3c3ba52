import { Badge, Button, Checkbox, Code, FileButton, Group, MultiSelect, Select, Stack, Table, Tabs, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Failure } from '../../shared/failure';
import { Ask, Loaded, Loading, Page, Problem } from '../../shared/ui';
import { call, nameOf, useGet, useList, useRefresh, useService, type Operation, type Parameter, type Resource, type Schemas } from '../api';
import { Editor, useConflict } from '../form';
import { ResourceTable } from '../table';

const PolicyEditor = lazy(() => import('./policy').then((m) => ({ default: m.PolicyEditor })));

type Api = Schemas['ApiContract'];

export function Apis() {
  const { t } = useTranslation();
  const service = useService();
  return (
    <Page title={t('APIs')} actions={
      <>
        <Button variant="default" renderRoot={(p) => <Link to="/$service/apis/import" params={{ service: service.name }} {...p} />}>{t('Import an API')}</Button>
        <Button renderRoot={(p) => <Link to="/$service/apis/new" params={{ service: service.name }} {...p} />}>{t('Add an API')}</Button>
      </>
    }>
      <ResourceTable<Api>
        label={t('APIs')}
        path={`${service.id}/apis`}
        columns={[
          { label: t('Name'), cell: (a) => <Link to="/$service/apis/$api" params={{ service: service.name, api: a.name }}>{a.properties.displayName}</Link> },
          { label: t('URL'), cell: (a) => <span className="mono">{service.properties.gatewayUrl}/{a.properties.path}</span> },
          { label: t('Web service URL'), cell: (a) => <span className="mono">{a.properties.serviceUrl}</span> },
        ]}
      />
    </Page>
  );
}

export function AddApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const products = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const [values, setValues] = useState({ displayName: '', serviceUrl: '', path: '', scheme: 'both', products: [] as string[] });
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const failure = error instanceof Failure ? error : undefined;
  const set = (more: Partial<typeof values>) => setValues({ ...values, ...more });
  const gateway = service.properties.gatewayUrl ?? '';
  const url = `${gateway}/${values.path.replace(/^\/+|\/+$/g, '')}`;
  const submit = async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
    if (taken) throw new Error(t('There is an API of that name.'));
    await call('PUT', path, {
      properties: {
        displayName: values.displayName,
        serviceUrl: values.serviceUrl || null,
        path: values.path.replace(/^\/+|\/+$/g, ''),
        protocols: values.scheme === 'both' ? ['http', 'https'] : [values.scheme],
        subscriptionRequired: true,
      },
    });
    for (const product of values.products) await call('PUT', `${service.id}/products/${product}/apis/${name}`);
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  };
  return (
    <Page title={t('Add an API')}>
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
        <Stack maw={640}>
          {error !== undefined && <Problem error={error} />}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web service URL')} type="url" description={t('Where calls are forwarded to.')} value={values.serviceUrl} error={failure?.of('serviceUrl')} onChange={(e) => set({ serviceUrl: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('URL scheme')} allowDeselect={false} data={[{ value: 'https', label: 'HTTPS' }, { value: 'http', label: 'HTTP' }, { value: 'both', label: 'HTTP, HTTPS' }]} value={values.scheme} error={failure?.of('protocols')} onChange={(v) => set({ scheme: v ?? 'both' })} />
          <Text size="sm">{t('This is what the URL will look like:')} <Code data-testid="resulting-url">{url}</Code></Text>
          <MultiSelect label={t('Products')} description={t('An API can be subscribed to through its products.')} data={products.data?.value.map((p) => ({ value: p.name, label: p.properties.displayName })) ?? []} value={values.products} onChange={(v) => set({ products: v })} />
          <Group><Button type="submit" loading={busy}>{t('Save')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

const FORMATS = [
  { value: 'openapi', label: 'OpenAPI 3 (YAML, JSON)' },
  { value: 'swagger-json', label: 'Swagger 2 (JSON)' },
  { value: 'wsdl', label: 'WSDL' },
];

/** Makes an API of a document: pasted, from a file, or behind a link that the server follows. */
export function ImportApi() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const [values, setValues] = useState({ displayName: '', path: '', format: 'openapi', document: '', link: '' });
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const failure = error instanceof Failure ? error : undefined;
  const set = (more: Partial<typeof values>) => setValues((old) => ({ ...old, ...more }));
  const submit = async () => {
    const name = nameOf(values.displayName);
    const path = `${service.id}/apis/${name}`;
    const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
    if (taken) throw new Error(t('There is an API of that name.'));
    const format = !values.link ? values.format : values.format === 'swagger-json' ? 'swagger-link-json' : `${values.format}-link`;
    await call('PUT', path, { properties: { displayName: values.displayName, path: values.path.replace(/^\/+|\/+$/g, ''), format, value: values.link || values.document } });
    await refresh();
    await navigate({ to: '/$service/apis/$api', params: { service: service.name, api: name } });
  };
  return (
    <Page title={t('Import an API')}>
      <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
        <Stack maw={800}>
          {error !== undefined && <Problem error={error} />}
          <TextInput label={t('Web API name')} required value={values.displayName} error={failure?.of('displayName')} onChange={(e) => set({ displayName: e.currentTarget.value })} />
          <TextInput label={t('Web API URL suffix')} description={t('The part of the URL that names this API.')} value={values.path} error={failure?.of('path')} onChange={(e) => set({ path: e.currentTarget.value })} />
          <Select label={t('Format')} data={FORMATS} value={values.format} allowDeselect={false} onChange={(v) => set({ format: v ?? 'openapi' })} error={failure?.of('format')} />
          <TextInput label={t('Link to the document')} type="url" description={t('Instead of the document itself.')} value={values.link} onChange={(e) => set({ link: e.currentTarget.value })} />
          <Group><FileButton onChange={(file) => void file?.text().then((document) => set({ document }))}>{(p) => <Button {...p} variant="default">{t('Read a file')}</Button>}</FileButton></Group>
          <Textarea label={t('Document')} autosize minRows={10} maxRows={30} value={values.document} disabled={values.link !== ''} required={values.link === ''} error={failure?.of('value')} onChange={(e) => set({ document: e.currentTarget.value })} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
          <Group><Button type="submit" loading={busy}>{t('Import')}</Button></Group>
        </Stack>
      </form>
    </Page>
  );
}

export function ApiPage() {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const { api = '' } = useParams({ strict: false });
  const path = `${service.id}/apis/${api}`;
  const query = useGet<Resource<Api>>(path);
  const params = { service: service.name, api };
  return (
    <Loaded query={query}>
      {({ data }) => (
        <Page title={data.properties.displayName ?? data.name}>
          <Text className="mono">{service.properties.gatewayUrl}/{data.properties.path}</Text>
          <Tabs defaultValue="operations" keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="operations">{t('Operations')}</Tabs.Tab>
              <Tabs.Tab value="settings">{t('Settings')}</Tabs.Tab>
              <Tabs.Tab value="products">{t('Products')}</Tabs.Tab>
              <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="operations" pt="md">
              <Stack>
                <Group><Button renderRoot={(p) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: 'new' }} {...p} />}>{t('Add an operation')}</Button></Group>
                <ResourceTable<Operation>
                  label={t('Operations')}
                  path={`${path}/operations`}
                  searched={null}
                  columns={[
                    { label: t('Verb'), cell: (o) => <Badge variant="outline" color="gray" styles={{ label: { color: 'var(--mantine-color-text)' } }}>{o.properties.method}</Badge> },
                    { label: t('Name'), cell: (o) => <Link to="/$service/apis/$api/operations/$operation" params={{ ...params, operation: o.name }}>{o.properties.displayName}</Link> },
                    { label: t('URL template'), cell: (o) => <span className="mono">{o.properties.urlTemplate}</span> },
                  ]}
                />
              </Stack>
            </Tabs.Panel>
            <Tabs.Panel value="settings" pt="md">
              <Editor
                path={path}
                fields={[
                  { name: 'displayName', label: t('Web API name'), required: true },
                  { name: 'description', label: t('Description'), kind: 'area' },
                  { name: 'serviceUrl', label: t('Web service URL') },
                  { name: 'path', label: t('Web API URL suffix') },
                  { name: 'subscriptionRequired', label: t('Calls need a subscription key'), kind: 'switch' },
                ]}
                remove={{ text: t('Its operations and policies go too, and its callers get 404.'), done: () => void navigate({ to: '/$service/apis', params: { service: service.name } }) }}
              />
            </Tabs.Panel>
            <Tabs.Panel value="products" pt="md"><ApiProducts api={data} /></Tabs.Panel>
            <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>
          </Tabs>
        </Page>
      )}
    </Loaded>
  );
}

function ApiProducts({ api }: { api: Resource<Api> }) {
  const { t } = useTranslation();
  const service = useService();
  const refresh = useRefresh();
  const [error, setError] = useState<unknown>();
  const all = useList<Schemas['ProductContract']>(`${service.id}/products`);
  const its = useList<Schemas['ProductContract']>(`${service.id}/apis/${api.name}/products`);
  return (
    <Loaded query={all}>
      {(products) => (
        <Stack>
          {error !== undefined && <Problem error={error} />}
          {products.value.length === 0 && <Text>{t('There is nothing here yet.')}</Text>}
          {products.value.map((p) => {
            const link = `${service.id}/products/${p.name}/apis/${api.name}`;
            return (
              <Checkbox key={p.id} label={p.properties.displayName} checked={its.data?.value.some((x) => x.name === p.name) ?? false} disabled={!its.data}
                onChange={(e) => { setError(undefined); call(e.currentTarget.checked ? 'PUT' : 'DELETE', link).then(refresh, setError); }} />
            );
          })}
        </Stack>
      )}
    </Loaded>
  );
}

const VERBS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

type Response = NonNullable<Operation['responses']>[number];

/** Names in braces, in the order in which they stand. */
export function templateNames(template: string): string[] {
  return [...new Set([...template.matchAll(/\{\*?([^{}]+)\}/g)].map((m) => m[1]))];
}

export function OperationPage() {
  const { t } = useTranslation();
  const service = useService();
  const { api = '', operation = '' } = useParams({ strict: false });
  const path = `${service.id}/apis/${api}/operations/${operation}`;
  const query = useGet<Resource<Operation>>(operation === 'new' ? undefined : path);
  if (operation === 'new') return <Page title={t('Add an operation')}><OperationForm key="new" /></Page>;
  return <Loaded query={query}>{({ data, etag }) => <Page title={data.properties.displayName}><OperationForm key={etag} stored={data} etag={etag} /></Page>}</Loaded>;
}

const STATUSES = ['200 OK', '201 Created', '202 Accepted', '204 No Content', '400 Bad Request', '401 Unauthorized', '403 Forbidden', '404 Not Found', '409 Conflict', '429 Too Many Requests', '500 Internal Server Error'];

function OperationForm({ stored, etag = null }: { stored?: Resource<Operation>; etag?: string | null }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { api = '' } = useParams({ strict: false });
  const { dialog, guard } = useConflict();
  const apiQuery = useGet<Resource<Api>>(`${service.id}/apis/${api}`);
  const [method, setMethod] = useState(stored?.properties.method ?? 'GET');
  const [template, setTemplate] = useState(stored?.properties.urlTemplate ?? '');
  const [displayName, setDisplayName] = useState(stored?.properties.displayName ?? '');
  const [description, setDescription] = useState(stored?.properties.description ?? '');
  const [parameters, setParameters] = useState<Record<string, Partial<Parameter>>>(() => Object.fromEntries((stored?.properties.templateParameters ?? []).map((p) => [p.name, p])));
  const [responses, setResponses] = useState<Response[]>(stored?.properties.responses ?? []);
  const sample = stored?.properties.request?.representations?.[0];
  const [contentType, setContentType] = useState(sample?.contentType ?? 'application/json');
  const [body, setBody] = useState(exampleOf(sample));
  const [adding, setAdding] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [asked, setAsked] = useState(false);
  const failure = error instanceof Failure ? error : undefined;
  const names = templateNames(template);
  const back = () => navigate({ to: '/$service/apis/$api', params: { service: service.name, api } });
  const path = `${service.id}/apis/${api}/operations/${stored?.name ?? nameOf(displayName)}`;
  const submit = async () => {
    const request = { ...(stored?.properties.request ?? {}) };
    if (body) request.representations = [{ contentType, examples: { default: { value: body } } }, ...(request.representations ?? []).slice(1)];
    const properties = {
      displayName, method, urlTemplate: template, description: description || null,
      templateParameters: names.map((name) => ({ required: true, type: 'string', ...parameters[name], name })),
      request, responses,
    };
    if (!stored) {
      const taken = await call('GET', path).then(() => true, (e: unknown) => { if (e instanceof Failure && e.status === 404) return false; throw e; });
      if (taken) throw new Error(t('There is an operation of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await back();
      return;
    }
    await guard(path, properties, async (tag) => { await call('PUT', path, { properties: { ...stored.properties, ...properties } }, tag); await refresh(); }, etag, () => void refresh());
  };
  return (
    <form onSubmit={(e) => { e.preventDefault(); setBusy(true); setError(undefined); submit().catch(setError).finally(() => setBusy(false)); }}>
      <Stack>
        {error !== undefined && <Problem error={error} />}
        <Tabs defaultValue="signature" keepMounted={false}>
          <Tabs.List>
            <Tabs.Tab value="signature">{t('Signature')}</Tabs.Tab>
            <Tabs.Tab value="request">{t('Request body')}</Tabs.Tab>
            <Tabs.Tab value="responses">{t('Responses')}</Tabs.Tab>
            {stored && <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>}
          </Tabs.List>
          <Tabs.Panel value="signature" pt="md">
            <Stack maw={800}>
              <Group align="flex-start" wrap="nowrap">
                <Select label={t('HTTP verb')} data={VERBS} value={method} allowDeselect={false} onChange={(v) => setMethod(v ?? 'GET')} w={140} error={failure?.of('method')} />
                <TextInput label={t('URL template')} required placeholder="/jobs/{jobid}?api-version={apiversion}" value={template} onChange={(e) => setTemplate(e.currentTarget.value)} error={failure?.of('urlTemplate')} flex={1} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
              </Group>
              <Text size="sm">{t('Calls go to')} <Code>{service.properties.gatewayUrl}/{apiQuery.data?.data.properties.path}{template}</Code></Text>
              {names.length > 0 && (
                <Table aria-label={t('Template parameters')}>
                  <Table.Thead><Table.Tr><Table.Th>{t('Parameter')}</Table.Th><Table.Th>{t('Type')}</Table.Th><Table.Th>{t('Default')}</Table.Th><Table.Th>{t('Description')}</Table.Th></Table.Tr></Table.Thead>
                  <Table.Tbody>
                    {names.map((name) => {
                      const p = parameters[name] ?? {};
                      const set = (more: Partial<Parameter>) => setParameters({ ...parameters, [name]: { ...p, ...more } });
                      return (
                        <Table.Tr key={name}>
                          <Table.Td className="mono">{name}</Table.Td>
                          <Table.Td><Select aria-label={t('Type of {{name}}', { name })} data={['string', 'integer', 'number', 'boolean']} value={p.type ?? 'string'} allowDeselect={false} onChange={(v) => set({ type: v ?? 'string' })} /></Table.Td>
                          <Table.Td><TextInput aria-label={t('Default of {{name}}', { name })} value={p.defaultValue ?? ''} onChange={(e) => set({ defaultValue: e.currentTarget.value })} /></Table.Td>
                          <Table.Td><TextInput aria-label={t('Description of {{name}}', { name })} value={p.description ?? ''} onChange={(e) => set({ description: e.currentTarget.value })} /></Table.Td>
                        </Table.Tr>
                      );
                    })}
                  </Table.Tbody>
                </Table>
              )}
              <TextInput label={t('Display name')} required value={displayName} onChange={(e) => setDisplayName(e.currentTarget.value)} error={failure?.of('displayName')} />
              <Textarea label={t('Description')} autosize minRows={2} value={description} onChange={(e) => setDescription(e.currentTarget.value)} error={failure?.of('description')} />
            </Stack>
          </Tabs.Panel>
          <Tabs.Panel value="request" pt="md">
            <Stack maw={800}>
              <TextInput label={t('Content type')} value={contentType} onChange={(e) => setContentType(e.currentTarget.value)} />
              <Textarea label={t('Sample')} description={t('Developers begin with it when they try the operation.')} autosize minRows={5} value={body} onChange={(e) => setBody(e.currentTarget.value)} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
            </Stack>
          </Tabs.Panel>
          <Tabs.Panel value="responses" pt="md">
            <Stack maw={800}>
              <Group align="flex-end">
                <Select label={t('Status code')} data={STATUSES} value={adding} onChange={setAdding} searchable />
                <Button variant="default" disabled={!adding || responses.some((r) => r.statusCode === Number(adding.slice(0, 3)))} onClick={() => { if (adding) setResponses([...responses, { statusCode: Number(adding.slice(0, 3)), description: adding.slice(4) } as Response]); setAdding(null); }}>{t('Add')}</Button>
              </Group>
              {responses.length === 0 && <Text>{t('No responses are described yet.')}</Text>}
              {responses.map((r, i) => (
                <Group key={r.statusCode} align="flex-end">
                  <Text w={60} fw={600}>{r.statusCode}</Text>
                  <TextInput label={t('Description')} flex={1} value={r.description ?? ''} onChange={(e) => setResponses(responses.map((x, j) => (i === j ? { ...x, description: e.currentTarget.value } : x)))} />
                  <Button variant="default" onClick={() => setResponses(responses.filter((_, j) => i !== j))}>{t('Remove')}</Button>
                </Group>
              ))}
            </Stack>
          </Tabs.Panel>
          {stored && <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>}
        </Tabs>
        <Group>
          <Button type="submit" loading={busy}>{t('Save')}</Button>
          <Button variant="default" onClick={() => void back()}>{t('Back to the API')}</Button>
          {stored && <Button color="red" variant="outline" onClick={() => setAsked(true)}>{t('Delete')}</Button>}
        </Group>
      </Stack>
      {dialog}
      <Ask opened={asked} title={t('Delete {{name}}?', { name: displayName })} text={t('Its callers get 404.')} action={t('Delete')} onClose={() => setAsked(false)}
        onYes={async () => { await call('DELETE', path, undefined, etag ?? '*'); await back(); await refresh(); }} />
    </form>
  );
}

function exampleOf(representation: unknown): string {
  const r = representation as { sample?: string; examples?: Record<string, { value?: unknown }> } | undefined;
  const value = Object.values(r?.examples ?? {})[0]?.value ?? r?.sample;
  return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}
