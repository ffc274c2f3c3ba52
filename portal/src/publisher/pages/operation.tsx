import { Autocomplete, Button, Code, Fieldset, Group, Select, Stack, Switch, Table, Tabs, Text, Textarea, TextInput } from '@mantine/core';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Loaded, Loading, Page } from '../../shared/ui';
import { call, exists, nameOf, useGet, useList, useRefresh, useService, type Operation, type Parameter, type Representation, type Resource, type Schemas } from '../api';
import { MONO, Removal, useConflict, useSubmit } from '../form';
import { TagsOf } from './tags';
import { TestCall } from './test-call';

const PolicyEditor = lazy(() => import('./policy').then((m) => ({ default: m.PolicyEditor })));

type Api = Schemas['ApiContract'];
type Response = NonNullable<Operation['responses']>[number];

const VERBS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const TYPES = ['string', 'integer', 'number', 'boolean', 'array', 'object'];
const CONTENT_TYPES = ['application/json', 'application/xml', 'text/plain', 'text/html', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/octet-stream'];
const STATUSES = ['200 OK', '201 Created', '202 Accepted', '204 No Content', '400 Bad Request', '401 Unauthorized', '403 Forbidden', '404 Not Found', '409 Conflict', '429 Too Many Requests', '500 Internal Server Error'];

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

function OperationForm({ stored, etag = null }: { stored?: Resource<Operation>; etag?: string | null }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { api = '' } = useParams({ strict: false });
  const { dialog, guard } = useConflict();
  const apiPath = `${service.id}/apis/${api}`;
  const apiQuery = useGet<Resource<Api>>(apiPath);
  const [method, setMethod] = useState(stored?.properties.method ?? 'GET');
  const [template, setTemplate] = useState(stored?.properties.urlTemplate ?? '');
  const [displayName, setDisplayName] = useState(stored?.properties.displayName ?? '');
  const [description, setDescription] = useState(stored?.properties.description ?? '');
  const [parameters, setParameters] = useState<Record<string, Partial<Parameter>>>(() => Object.fromEntries((stored?.properties.templateParameters ?? []).map((p) => [p.name, p])));
  const [query, setQuery] = useState<Parameter[]>(stored?.properties.request?.queryParameters ?? []);
  const [headers, setHeaders] = useState<Parameter[]>(stored?.properties.request?.headers ?? []);
  const [bodies, setBodies] = useState<Representation[]>(() => stored?.properties.request?.representations?.length ? stored.properties.request.representations : [{ contentType: 'application/json' }]);
  const [responses, setResponses] = useState<Response[]>(stored?.properties.responses ?? []);
  const [adding, setAdding] = useState<string | null>(null);
  const names = templateNames(template);
  const back = () => navigate({ to: '/$service/apis/$api', params: { service: service.name, api } });
  const path = `${apiPath}/operations/${stored?.name ?? nameOf(displayName)}`;
  const { failure, busy, form, notices } = useSubmit([method, template, displayName, description, parameters, query, headers, bodies, responses], async () => {
    // A body that nobody described is none.
    const described = bodies.filter((b, i) => i > 0 || stored?.properties.request?.representations?.length || b.schemaId || exampleOf(b) || b.formParameters?.length);
    const properties = {
      displayName, method, urlTemplate: template, description: description || null,
      templateParameters: names.map((name) => ({ required: true, type: 'string', ...parameters[name], name })),
      request: { ...(stored?.properties.request ?? {}), queryParameters: query, headers, representations: described },
      responses,
    };
    if (!stored) {
      if (await exists(path)) throw new Error(t('There is an operation of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await back();
      return true;
    }
    return guard(path, properties, async (tag) => { await call('PUT', path, { properties: { ...stored.properties, ...properties } }, tag); await refresh(); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack>
        {notices}
        <Tabs defaultValue="signature" keepMounted={false}>
          <Tabs.List>
            <Tabs.Tab value="signature">{t('Signature')}</Tabs.Tab>
            <Tabs.Tab value="query">{t('Query and headers')}</Tabs.Tab>
            <Tabs.Tab value="request">{t('Request body')}</Tabs.Tab>
            <Tabs.Tab value="responses">{t('Responses')}</Tabs.Tab>
            {stored && <Tabs.Tab value="policy">{t('Policies')}</Tabs.Tab>}
            {stored && <Tabs.Tab value="tags">{t('Tags')}</Tabs.Tab>}
            {stored && <Tabs.Tab value="test">{t('Test')}</Tabs.Tab>}
          </Tabs.List>
          <Tabs.Panel value="signature" pt="md">
            <Stack maw={800}>
              <Group align="flex-start" wrap="nowrap">
                <Select label={t('HTTP verb')} data={VERBS.includes(method) ? VERBS : [...VERBS, method]} value={method} allowDeselect={false} onChange={(v) => setMethod(v ?? 'GET')} w={140} error={failure?.of('method')} />
                <TextInput label={t('URL template')} required placeholder="/jobs/{jobid}?api-version={apiversion}" value={template} onChange={(e) => setTemplate(e.currentTarget.value)} error={failure?.of('urlTemplate')} flex={1} styles={MONO} />
              </Group>
              <Text size="sm">{t('Calls go to')} <Code>{service.properties.gatewayUrl}/{apiQuery.data?.data.properties.path}{template}</Code></Text>
              {names.length > 0 && (
                <Table aria-label={t('Template parameters')}>
                  <Table.Thead><Table.Tr><Table.Th>{t('Parameter')}</Table.Th><Table.Th>{t('Type')}</Table.Th><Table.Th>{t('Default')}</Table.Th><Table.Th>{t('Allowed values')}</Table.Th><Table.Th>{t('Description')}</Table.Th></Table.Tr></Table.Thead>
                  <Table.Tbody>
                    {names.map((name) => {
                      const p = parameters[name] ?? {};
                      const set = (more: Partial<Parameter>) => setParameters({ ...parameters, [name]: { ...p, ...more } });
                      return (
                        <Table.Tr key={name}>
                          <Table.Td className="mono">{name}</Table.Td>
                          <ParameterCells name={name} parameter={p} set={set} />
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
          <Tabs.Panel value="query" pt="md">
            <Stack>
              <Parameters title={t('Query parameters')} add={t('Add a query parameter')} list={query} change={setQuery} />
              <Parameters title={t('Request headers')} add={t('Add a header')} list={headers} change={setHeaders} />
            </Stack>
          </Tabs.Panel>
          <Tabs.Panel value="request" pt="md">
            <Representations apiPath={apiPath} list={bodies} change={setBodies} help={t('Developers begin with it when they try the operation.')} />
          </Tabs.Panel>
          <Tabs.Panel value="responses" pt="md">
            <Stack>
              <Group align="flex-end">
                <Select label={t('Status code')} data={STATUSES} value={adding} onChange={setAdding} searchable />
                <Button variant="default" disabled={!adding || responses.some((r) => r.statusCode === Number(adding.slice(0, 3)))} onClick={() => { if (adding) setResponses([...responses, { statusCode: Number(adding.slice(0, 3)), description: adding.slice(4) }]); setAdding(null); }}>{t('Add')}</Button>
              </Group>
              {responses.length === 0 && <Text>{t('No responses are described yet.')}</Text>}
              {responses.map((r, i) => {
                const set = (more: Partial<Response>) => setResponses(responses.map((x, j) => (i === j ? { ...x, ...more } : x)));
                return (
                  <Fieldset key={r.statusCode} legend={t('Response {{status}}', { status: r.statusCode })}>
                    <Stack>
                      <Group align="flex-end">
                        <Text w={60} fw={600}>{r.statusCode}</Text>
                        <TextInput label={t('Description')} flex={1} value={r.description ?? ''} onChange={(e) => set({ description: e.currentTarget.value })} />
                        <Button variant="default" onClick={() => setResponses(responses.filter((_, j) => i !== j))}>{t('Remove')}</Button>
                      </Group>
                      <Representations apiPath={apiPath} list={r.representations ?? []} change={(representations) => set({ representations })} />
                      <Parameters title={t('Response headers')} add={t('Add a response header')} list={r.headers ?? []} change={(list) => set({ headers: list })} />
                    </Stack>
                  </Fieldset>
                );
              })}
            </Stack>
          </Tabs.Panel>
          {stored && <Tabs.Panel value="policy" pt="md"><Suspense fallback={<Loading />}><PolicyEditor path={`${path}/policies/policy`} /></Suspense></Tabs.Panel>}
          {stored && <Tabs.Panel value="tags" pt="md"><TagsOf path={path} /></Tabs.Panel>}
          {stored && <Tabs.Panel value="test" pt="md"><TestCall api={api} operation={stored} /></Tabs.Panel>}
        </Tabs>
        <Group>
          <Button type="submit" loading={busy}>{t('Save')}</Button>
          <Button variant="default" onClick={() => void back()}>{t('Back to the API')}</Button>
          {stored && <Removal path={path} name={stored.name} etag={etag} text={t('Its callers get 404.')} calls={{ report: 'byOperation', field: 'operationId', value: `/apis/${api}/operations/${stored.name}` }} done={back} />}
        </Group>
      </Stack>
      {dialog}
    </form>
  );
}

/** The cells of a parameter after its name. */
function ParameterCells({ name, parameter: p, set }: { name: string; parameter: Partial<Parameter>; set: (more: Partial<Parameter>) => void }) {
  const { t } = useTranslation();
  return (
    <>
      <Table.Td><Select aria-label={t('Type of {{name}}', { name })} data={p.type && !TYPES.includes(p.type) ? [...TYPES, p.type] : TYPES} value={p.type ?? 'string'} allowDeselect={false} onChange={(v) => set({ type: v ?? 'string' })} /></Table.Td>
      <Table.Td><TextInput aria-label={t('Default of {{name}}', { name })} value={p.defaultValue ?? ''} onChange={(e) => set({ defaultValue: e.currentTarget.value || undefined })} /></Table.Td>
      <Table.Td><Values name={name} values={p.values} set={(values) => set({ values })} /></Table.Td>
      <Table.Td><TextInput aria-label={t('Description of {{name}}', { name })} value={p.description ?? ''} onChange={(e) => set({ description: e.currentTarget.value || undefined })} /></Table.Td>
    </>
  );
}

/** Values joined by commas; what is typed stays as typed until the field is left. */
function Values({ name, values, set }: { name: string; values?: string[]; set: (values?: string[]) => void }) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState((values ?? []).join(', '));
  return (
    <TextInput aria-label={t('Allowed values of {{name}}', { name })} placeholder="a, b" value={typed}
      onChange={(e) => {
        setTyped(e.currentTarget.value);
        const list = e.currentTarget.value.split(',').map((v) => v.trim()).filter(Boolean);
        set(list.length > 0 ? list : undefined);
      }} />
  );
}

function Parameters({ title, add, list, change }: { title: string; add: string; list: Parameter[]; change: (list: Parameter[]) => void }) {
  const { t } = useTranslation();
  return (
    <Stack gap="xs" component="section" aria-label={title}>
      <Text fw={600}>{title}</Text>
      {list.length > 0 && (
        <Table aria-label={title}>
          <Table.Thead><Table.Tr>{[t('Name'), t('Type'), t('Default'), t('Allowed values'), t('Description'), t('Required'), t('Actions')].map((h) => <Table.Th key={h}>{h}</Table.Th>)}</Table.Tr></Table.Thead>
          <Table.Tbody>
            {list.map((p, i) => {
              const set = (more: Partial<Parameter>) => change(list.map((x, j) => (i === j ? { ...x, ...more } : x)));
              const name = p.name || String(i + 1);
              return (
                <Table.Tr key={i}>
                  <Table.Td><TextInput aria-label={t('Name of {{title}} {{number}}', { title, number: i + 1 })} required value={p.name} onChange={(e) => set({ name: e.currentTarget.value })} styles={MONO} /></Table.Td>
                  <ParameterCells name={name} parameter={p} set={set} />
                  <Table.Td><Switch aria-label={t('{{name}} is required', { name })} checked={p.required ?? false} onChange={(e) => set({ required: e.currentTarget.checked })} /></Table.Td>
                  <Table.Td><Button size="compact-sm" variant="default" aria-label={t('Remove {{address}}', { address: name })} onClick={() => change(list.filter((_, j) => i !== j))}>{t('Remove')}</Button></Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      )}
      <Group><Button variant="default" onClick={() => change([...list, { name: '', type: 'string', required: false }])}>{add}</Button></Group>
    </Stack>
  );
}

/** Bodies by content type: each with a schema and a sample. */
function Representations({ apiPath, list, change, help }: { apiPath: string; list: Representation[]; change: (list: Representation[]) => void; help?: string }) {
  const { t } = useTranslation();
  const free = CONTENT_TYPES.find((type) => list.every((r) => r.contentType !== type)) ?? 'application/json';
  return (
    <Stack>
      {list.map((r, i) => {
        const set = (more: Partial<Representation>) => change(list.map((x, j) => (i === j ? { ...x, ...more } : x)));
        const form = r.contentType === 'application/x-www-form-urlencoded' || r.contentType.startsWith('multipart/form-data');
        return (
          <Fieldset key={i} legend={t('Representation {{type}}', { type: r.contentType })}>
            <Stack>
              <Group align="flex-end">
                <Autocomplete label={t('Content type')} required flex={1} data={CONTENT_TYPES} value={r.contentType} onChange={(contentType) => set({ contentType })} />
                <SchemaChoice apiPath={apiPath} representation={r} set={set} />
                <Button variant="default" aria-label={t('Remove {{address}}', { address: r.contentType })} onClick={() => change(list.filter((_, j) => i !== j))}>{t('Remove')}</Button>
              </Group>
              {form && <Parameters title={t('Fields of the form')} add={t('Add a field')} list={r.formParameters ?? []} change={(formParameters) => set({ formParameters })} />}
              <Textarea label={t('Sample')} description={help} autosize minRows={4} maxRows={20} value={exampleOf(r)} onChange={(e) => set(withExample(r, e.currentTarget.value))} styles={MONO} />
            </Stack>
          </Fieldset>
        );
      })}
      <Group><Button variant="default" onClick={() => change([...list, { contentType: free }])}>{t('Add a representation')}</Button></Group>
    </Stack>
  );
}

interface SchemaDocument {
  contentType: string;
  document?: { components?: { schemas?: Record<string, unknown> }; definitions?: Record<string, unknown>; value?: string };
}

function SchemaChoice({ apiPath, representation, set }: { apiPath: string; representation: Representation; set: (more: Partial<Representation>) => void }) {
  const { t } = useTranslation();
  const schemas = useList<SchemaDocument>(`${apiPath}/schemas?$top=100`);
  const chosen = useGet<Resource<SchemaDocument>>(representation.schemaId ? `${apiPath}/schemas/${representation.schemaId}` : undefined);
  const document = chosen.data?.data.properties.document;
  const types = Object.keys(document?.components?.schemas ?? document?.definitions ?? {});
  const names = schemas.data?.value.map((s) => s.name) ?? [];
  return (
    <>
      <Select label={t('Schema')} placeholder={t('none')} clearable clearButtonProps={{ 'aria-label': t('Without a schema') }} data={representation.schemaId && !names.includes(representation.schemaId) ? [...names, representation.schemaId] : names} value={representation.schemaId ?? null} onChange={(schemaId) => set({ schemaId: schemaId ?? undefined, typeName: undefined })} nothingFoundMessage={t('There is nothing here yet.')} />
      <Autocomplete label={t('Type in the schema')} disabled={!representation.schemaId} data={types} value={representation.typeName ?? ''} onChange={(typeName) => set({ typeName: typeName || undefined })} />
    </>
  );
}

function withExample(r: Representation, text: string): Partial<Representation> {
  const [first = 'default'] = Object.keys(r.examples ?? {});
  if (!text) {
    const { [first]: _, ...rest } = r.examples ?? {};
    return { examples: Object.keys(rest).length > 0 ? rest : undefined, sample: undefined };
  }
  return { examples: { ...r.examples, [first]: { ...r.examples?.[first], value: text } }, sample: undefined };
}

export function exampleOf(r: Representation | undefined): string {
  const value = Object.values(r?.examples ?? {})[0]?.value ?? r?.sample;
  return value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/** Schemas of an API, which representations name. */
export function ApiSchemas({ path }: { path: string }) {
  const { t } = useTranslation();
  const service = useService();
  const { api = '' } = useParams({ strict: false });
  const list = useList<SchemaDocument>(`${path}/schemas?$top=100`);
  return (
    <Stack>
      <Group><Button renderRoot={(p) => <Link to="/$service/apis/$api/schemas/$schema" params={{ service: service.name, api, schema: 'new' }} {...p} />}>{t('Add a schema')}</Button></Group>
      <Loaded query={list}>
        {(all) => all.value.length === 0 ? <Text>{t('There is nothing here yet.')}</Text> : (
          <Table aria-label={t('Schemas')}>
            <Table.Thead><Table.Tr><Table.Th>{t('Name')}</Table.Th><Table.Th>{t('Content type')}</Table.Th></Table.Tr></Table.Thead>
            <Table.Tbody>
              {all.value.map((s) => (
                <Table.Tr key={s.id}>
                  <Table.Td><Link to="/$service/apis/$api/schemas/$schema" params={{ service: service.name, api, schema: s.name }}>{s.name}</Link></Table.Td>
                  <Table.Td className="mono">{s.properties.contentType}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
    </Stack>
  );
}

const OPENAPI = 'application/vnd.oai.openapi.components+json';
const SWAGGER = 'application/vnd.ms-azure-apim.swagger.definitions+json';

export function SchemaPage() {
  const { t } = useTranslation();
  const service = useService();
  const { api = '', schema = '' } = useParams({ strict: false });
  const path = `${service.id}/apis/${api}/schemas/${schema}`;
  const query = useGet<Resource<SchemaDocument>>(schema === 'new' ? undefined : path);
  if (schema === 'new') return <Page title={t('Add a schema')}><SchemaForm etag={null} /></Page>;
  return <Loaded query={query}>{({ data, etag }) => <Page title={data.name}><SchemaForm key={etag} stored={data} etag={etag} /></Page>}</Loaded>;
}

function SchemaForm({ stored, etag }: { stored?: Resource<SchemaDocument>; etag: string | null }) {
  const { t } = useTranslation();
  const service = useService();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const { dialog, guard } = useConflict();
  const { api = '' } = useParams({ strict: false });
  const document = stored?.properties.document;
  const [name, setName] = useState(stored?.name ?? '');
  const [contentType, setContentType] = useState(stored?.properties.contentType ?? OPENAPI);
  const [text, setText] = useState(document?.value ?? JSON.stringify(document?.components?.schemas ?? document?.definitions ?? { Row: { type: 'object', properties: { id: { type: 'string' } } } }, null, 2));
  const path = `${service.id}/apis/${api}/schemas/${encodeURIComponent(name)}`;
  const back = () => navigate({ to: '/$service/apis/$api', params: { service: service.name, api } });
  const { busy, form, notices } = useSubmit([name, contentType, text], async () => {
    const content = contentType === OPENAPI ? { components: { schemas: JSON.parse(text) as unknown } } : contentType === SWAGGER ? { definitions: JSON.parse(text) as unknown } : { value: text };
    const properties = { contentType, document: content };
    if (!stored) {
      if (await exists(path)) throw new Error(t('There is a schema of that name.'));
      await call('PUT', path, { properties });
      await refresh();
      await back();
      return true;
    }
    return guard(path, properties, async (tag) => { await call('PUT', path, { properties }, tag); await refresh(); }, etag, () => void refresh());
  });
  return (
    <form {...form}>
      <Stack maw={800}>
        {notices}
        <TextInput label={t('Name')} required disabled={stored !== undefined} value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <Autocomplete label={t('Content type')} required data={[OPENAPI, SWAGGER, 'application/xml']} value={contentType} onChange={setContentType} />
        <Textarea label={t('Types, as a JSON object by name')} autosize minRows={12} maxRows={30} required value={text} onChange={(e) => setText(e.currentTarget.value)} styles={MONO} />
        <Group>
          <Button type="submit" loading={busy}>{t('Save')}</Button>
          <Button variant="default" onClick={() => void back()}>{t('Back to the API')}</Button>
          {stored && <Removal path={path} name={name} etag={etag} text={t('Representations that name it keep the name and show no type any more.')} done={back} />}
        </Group>
      </Stack>
      {dialog}
    </form>
  );
}
